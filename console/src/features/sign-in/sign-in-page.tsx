import "./sign-in.css";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { LANGUAGE_NAMES, LANGUAGES, switchLanguage } from "~/shared/i18n/i18n";
import { signIn } from "~/shared/session/session";
import { Emblem, Icon } from "~/shared/ui/icon";
import { problemText } from "~/shared/ui/states";
import { Skyline } from "./skyline";

export function SignInPage() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const { next } = useSearch({ from: "/sign-in" });
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const first = useRef<HTMLInputElement>(null);

  useEffect(() => first.current?.focus(), []);
  useEffect(() => {
    document.title = `${t("sign_in.title")} · ${t("app.name")}`;
  }, [t]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await signIn(name.trim(), password);
      await navigate({ href: next ?? "/", replace: true });
    } catch (problem) {
      setError(problem);
      setPassword("");
    } finally {
      setBusy(false);
    }
  };

  return (
    <main className="sign-in">
      <section className="sign-in-art" aria-hidden="true">
        <Skyline />
        <div className="sign-in-words">
          <Emblem size={64} />
          <p className="sign-in-name">{t("app.name")}</p>
          <p>{t("sign_in.motto")}</p>
        </div>
      </section>
      <section className="sign-in-side">
        <form className="sign-in-form" onSubmit={(event) => void submit(event)} data-testid="sign-in-form">
          <div className="row">
            <Emblem size={34} />
            <h1>{t("sign_in.title")}</h1>
          </div>
          <p className="muted">{t("sign_in.hint")}</p>
          <div className="field">
            <label htmlFor="name">{t("sign_in.name")}</label>
            <input
              ref={first}
              id="name"
              className="input"
              name="username"
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              required
              value={name}
              onChange={(event) => setName(event.target.value)}
              data-testid="sign-in-name"
            />
          </div>
          <div className="field">
            <label htmlFor="password">{t("sign_in.password")}</label>
            <div className="password-field">
              <input
                id="password"
                className="input"
                name="password"
                type={shown ? "text" : "password"}
                autoComplete="current-password"
                required
                value={password}
                onChange={(event) => setPassword(event.target.value)}
                data-testid="sign-in-password"
              />
              <button type="button" className="button quiet small" aria-pressed={shown} onClick={() => setShown(!shown)}>
                {shown ? t("sign_in.hide") : t("sign_in.show")}
              </button>
            </div>
          </div>
          {error !== null && (
            <p className="sign-in-error" role="alert" data-testid="sign-in-error">
              <Icon name="warning" size={16} /> {problemText(error, t)}
            </p>
          )}
          <button type="submit" className="button primary" disabled={busy} data-testid="sign-in-submit">
            {busy ? t("sign_in.busy") : t("sign_in.submit")}
          </button>
          <div className="sign-in-languages">
            {LANGUAGES.map((language) => (
              <button
                key={language}
                type="button"
                className="button quiet small"
                lang={language === "zh" ? "zh-CN" : "en"}
                aria-pressed={i18n.language === language}
                data-testid={`language-${language}`}
                onClick={() => void switchLanguage(language)}
              >
                {LANGUAGE_NAMES[language]}
              </button>
            ))}
          </div>
        </form>
      </section>
    </main>
  );
}
