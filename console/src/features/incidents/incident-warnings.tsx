import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import type { IncidentView } from "~/shared/data/keys";
import { warningQuery } from "~/shared/data/warnings";
import { type Language, pick } from "~/shared/i18n/i18n";
import { Age } from "~/shared/ui/age";
import { SeverityIcon } from "~/shared/ui/severity";

export function IncidentWarnings({ incident }: { incident: IncidentView }) {
  const { t, i18n } = useTranslation();
  const warnings = useQueries({ queries: incident.warning_ids.map((id) => warningQuery(id)) });
  if (incident.warning_ids.length === 0) return <p className="muted">{t("incidents.no_warnings")}</p>;
  return (
    <ul style={{ display: "grid", gap: 10 }}>
      {warnings.map(({ data: warning }) =>
        warning ? (
          <li key={warning.id} className="row" style={{ alignItems: "flex-start" }}>
            <SeverityIcon severity={warning.severity} />
            <span style={{ flex: 1 }}>
              <span className="visually-hidden">{t(`severity.${warning.severity}`)} </span>
              <Link to="/warnings" search={{ state: "all", warning: warning.id }} style={{ color: "var(--text)" }}>
                {pick(warning.headline, i18n.language as Language)}
              </Link>
              <span className="row muted" style={{ fontSize: 13 }}>
                <Age at={warning.raised_at} everyMs={10_000} /> · {t(`warnings.${warning.state}`)}
              </span>
            </span>
          </li>
        ) : null,
      )}
    </ul>
  );
}
