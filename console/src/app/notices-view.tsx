import { useNavigate } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { useNotices } from "~/shared/live/notices";
import { Icon } from "~/shared/ui/icon";
import { SEVERITIES_DOWN, SeverityIcon, type Severity } from "~/shared/ui/severity";

export function Notices() {
  const { t } = useTranslation();
  const { list, dismiss } = useNotices();
  const navigate = useNavigate();
  return (
    <div className="notices" role="log" aria-live="polite" aria-label={t("app.notices")}>
      {list.map((notice) => {
        const severity = SEVERITIES_DOWN.find((one) => one === notice.severity) as Severity | undefined;
        const colour = severity ? `var(--sev-${severity})` : `var(--${notice.severity === "info" ? "accent" : notice.severity})`;
        return (
          <div key={notice.key} className="notice" style={{ "--notice": colour } as never} data-testid="notice">
            {severity && <SeverityIcon severity={severity} />}
            {notice.to ? (
              <a
                href={notice.to}
                onClick={(event) => {
                  event.preventDefault();
                  dismiss(notice.key);
                  void navigate({ href: notice.to ?? "/" });
                }}
              >
                {severity && <span className="visually-hidden">{t(`severity.${severity}`)} </span>}
                {notice.text}
              </a>
            ) : (
              <span>{notice.text}</span>
            )}
            <button type="button" className="icon-button" aria-label={t("common.close")} onClick={() => dismiss(notice.key)}>
              <Icon name="close" size={15} />
            </button>
          </div>
        );
      })}
    </div>
  );
}
