import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api } from "~/shared/api/client";
import { useNotices } from "~/shared/live/notices";
import { loadSession } from "~/shared/session/session";
import { Icon } from "~/shared/ui/icon";
import { problemText } from "~/shared/ui/states";

/** Change one's own password. */
export function PasswordPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [fields, setFields] = useState({ current: "", fresh: "", again: "" });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const push = useNotices((state) => state.push);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (fields.fresh !== fields.again) {
      setError(t("profile.differ"));
      return;
    }
    setBusy(true);
    setError(null);
    try {
      await answer(
        api.POST("/api/v1/session/password", { body: { current_password: fields.current, new_password: fields.fresh } }),
      );
      await loadSession();
      push({ severity: "good", text: t("profile.changed") });
      await navigate({ to: "/" });
    } catch (problem) {
      setError(problemText(problem, t));
    } finally {
      setBusy(false);
    }
  };

  const field = (key: keyof typeof fields, label: string, autoComplete: string) => (
    <div className="field">
      <label htmlFor={key}>{label}</label>
      <input
        id={key}
        className="input"
        type="password"
        required
        autoComplete={autoComplete}
        value={fields[key]}
        data-testid={`password-${key}`}
        onChange={(event) => setFields({ ...fields, [key]: event.target.value })}
      />
    </div>
  );

  return (
    <div className="page" style={{ maxWidth: 460 }}>
      <div className="page-head">
        <div>
          <h1>{t("profile.change_password")}</h1>
          <p>{t("profile.hint")}</p>
        </div>
      </div>
      <form className="card card-body" style={{ display: "grid", gap: 16 }} onSubmit={(event) => void submit(event)}>
        {field("current", t("profile.current"), "current-password")}
        {field("fresh", t("profile.fresh"), "new-password")}
        {field("again", t("profile.again"), "new-password")}
        {error && (
          <p role="alert" style={{ color: "var(--bad)" }} data-testid="password-error">
            <Icon name="warning" size={16} /> {error}
          </p>
        )}
        <button type="submit" className="button primary" disabled={busy} data-testid="password-submit">
          {t("profile.submit")}
        </button>
      </form>
    </div>
  );
}
