import { Link } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useActiveWarnings } from "~/shared/data/active-warnings";
import type { WarningView } from "~/shared/data/keys";
import { type Language, pick } from "~/shared/i18n/i18n";
import { Age } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { SeverityIcon } from "~/shared/ui/severity";

const SHOWN = 60;

/** The active warnings beside the map, the gravest first. */
export function WarningsPanel({ compact, onSelect }: { compact: boolean; onSelect: (id: string) => void }) {
  const { t, i18n } = useTranslation();
  const { list, loaded } = useActiveWarnings();
  const seen = useRef<Set<string> | null>(null);
  const fresh = (warning: WarningView) => seen.current !== null && !seen.current.has(warning.id);

  useEffect(() => {
    if (!loaded) return;
    const timer = setTimeout(() => {
      seen.current = new Set(list.map((warning) => warning.id));
    }, 2500);
    seen.current ??= new Set(list.map((warning) => warning.id));
    return () => clearTimeout(timer);
  }, [list, loaded]);

  return (
    <section className="panel" style={compact ? { flex: "0 1 auto", maxHeight: "24%" } : undefined} aria-label={t("map.active_warnings")} data-testid="map-warnings">
      <div className="panel-head">
        <h2>
          <Icon name="warning" /> {t("map.active_warnings")} <span className="pill num">{list.length}</span>
        </h2>
        <Link to="/warnings" className="button quiet small">
          {t("map.all")}
        </Link>
      </div>
      <div className="panel-body">
        {loaded && list.length === 0 && (
          <p className="row muted" style={{ padding: "12px 14px" }}>
            <Icon name="check" /> {t("map.calm")}
          </p>
        )}
        <ul className="warning-list">
          {list.slice(0, SHOWN).map((warning) => (
            <li key={warning.id} className={fresh(warning) ? "fresh" : undefined} data-testid="map-warning" data-severity={warning.severity}>
              <button type="button" onClick={() => onSelect(warning.entity_id)}>
                <SeverityIcon severity={warning.severity} />
                <span className="text">
                  <span className="visually-hidden">{t(`severity.${warning.severity}`)}: </span>
                  {pick(warning.headline, i18n.language as Language)}
                  <span className="meta">
                    <Age at={warning.raised_at} everyMs={5000} />
                    {warning.acknowledged && (
                      <span className="row" style={{ gap: 3 }}>
                        <Icon name="check" size={13} /> {t("warnings.acknowledged")}
                      </span>
                    )}
                    {warning.incident_id && <span>{t("warnings.has_incident")}</span>}
                  </span>
                </span>
              </button>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
