import { useNavigate } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { LANGUAGE_NAMES, LANGUAGES, switchLanguage } from "~/shared/i18n/i18n";
import { reconnectNow } from "~/shared/live/hub";
import { useNotices } from "~/shared/live/notices";
import { useLiveFacts } from "~/shared/live/store";
import { signOut, useSession } from "~/shared/session/session";
import { type ThemeChoice, useTheme } from "~/shared/theme/theme";
import { formatInstant, useNow } from "~/shared/time/time";
import { Icon } from "~/shared/ui/icon";
import { Menu } from "~/shared/ui/menu";

const THEMES: ThemeChoice[] = ["dark", "light", "system"];

export function BarEnd({ onHelp }: { onHelp: () => void }) {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const name = useSession((state) => state.session?.principal.name ?? "");
  const theme = useTheme();
  const { sound, setSound } = useNotices();

  return (
    <div className="bar-end">
      <Connection />
      <Clock />
      <button
        type="button"
        className="bar-button"
        aria-pressed={sound}
        title={sound ? t("app.sound_off") : t("app.sound_on")}
        aria-label={t("app.sound")}
        data-testid="sound-switch"
        onClick={() => setSound(!sound)}
      >
        <Icon name={sound ? "bell" : "mute"} />
      </button>
      <button type="button" className="bar-button" title={t("app.help")} aria-label={t("app.help")} data-testid="help-open" onClick={onHelp}>
        <Icon name="help" />
      </button>
      <Menu
        label={t("app.profile")}
        testId="profile-menu"
        trigger={
          <>
            <Icon name="user" />
            <span className="name">{name}</span>
            <Icon name="chevron" size={13} />
          </>
        }
        items={[
          ...LANGUAGES.map((language) => ({
            key: language,
            label: (
              <>
                <Icon name="language" /> <span lang={language === "zh" ? "zh-CN" : "en"}>{LANGUAGE_NAMES[language]}</span>
              </>
            ),
            checked: i18n.language === language,
            testId: `language-${language}`,
            onSelect: () => void switchLanguage(language),
          })),
          ...THEMES.map((choice, index) => ({
            key: choice,
            label: (
              <>
                <Icon name="theme" /> {t(`theme.${choice}`)}
              </>
            ),
            checked: theme.choice === choice,
            separatorBefore: index === 0,
            testId: `theme-${choice}`,
            onSelect: () => theme.choose(choice),
          })),
          {
            key: "password",
            label: (
              <>
                <Icon name="key" /> {t("profile.change_password")}
              </>
            ),
            separatorBefore: true,
            testId: "change-password",
            onSelect: () => void navigate({ to: "/password" }),
          },
          {
            key: "exit",
            label: (
              <>
                <Icon name="exit" /> {t("app.sign_out")}
              </>
            ),
            testId: "sign-out",
            onSelect: () => void signOut().catch(() => undefined),
          },
        ]}
      />
    </div>
  );
}

function Connection() {
  const { t } = useTranslation();
  const state = useLiveFacts((facts) => facts.state);
  return (
    <span role="status" className="connection" data-testid="connection-state" data-state={state} title={t(`live.${state}_long`)}>
      <i aria-hidden="true" />
      {t(`live.${state}`)}
      {state === "lost" && (
        <button type="button" className="icon-button" style={{ width: 22, height: 22 }} aria-label={t("live.now")} onClick={reconnectNow}>
          <Icon name="refresh" size={14} />
        </button>
      )}
    </span>
  );
}

function Clock() {
  const { i18n } = useTranslation();
  const now = useNow(1000);
  return (
    <time className="clock num" dateTime={new Date(now).toISOString()} title={formatInstant(now, i18n.language, "full")}>
      {formatInstant(now, i18n.language, "time")}
    </time>
  );
}
