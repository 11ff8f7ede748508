import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { keep, kept, whenKept } from "~/shared/ui/kept";

export type Language = "zh" | "en";
export const LANGUAGES: readonly Language[] = ["zh", "en"];
export const LANGUAGE_NAMES: Record<Language, string> = { zh: "中文", en: "English" };

const load: Record<Language, () => Promise<{ texts: Record<string, unknown> }>> = {
  zh: () => import("./zh"),
  en: () => import("./en"),
};

function preferred(): Language {
  const choice = kept("gulou.language") ?? navigator.language;
  return choice.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Load the texts of the preferred language; the other one comes only when somebody switches. */
export async function startTexts(): Promise<void> {
  const language = preferred();
  const { texts } = await load[language]();
  await i18next.use(initReactI18next).init({
    lng: language,
    resources: { [language]: { translation: texts } },
    interpolation: { escapeValue: false },
    returnNull: false,
  });
  announce(language);
  whenKept("gulou.language", (choice) => void switchLanguage(choice === "zh" ? "zh" : "en"));
}

export async function switchLanguage(language: Language): Promise<void> {
  if (!i18next.hasResourceBundle(language, "translation")) {
    const { texts } = await load[language]();
    i18next.addResourceBundle(language, "translation", texts);
  }
  keep("gulou.language", language);
  await i18next.changeLanguage(language);
  announce(language);
}

export function currentLanguage(): Language {
  return i18next.language?.startsWith("zh") ? "zh" : "en";
}

function announce(language: Language): void {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

/** The text in the reader's language out of the server's `{en, zh}`. */
export function pick(texts: Record<string, string> | null | undefined, language: Language = currentLanguage()): string {
  if (!texts) return "";
  return texts[language] ?? texts.en ?? texts.zh ?? Object.values(texts)[0] ?? "";
}
