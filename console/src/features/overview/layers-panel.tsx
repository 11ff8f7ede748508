import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useWords } from "~/shared/data/vocabulary";
import { colourOf, lookOf } from "~/shared/map/looks";
import { stateColour } from "~/shared/map/points";
import { useTheme } from "~/shared/theme/theme";
import { Icon } from "~/shared/ui/icon";
import { SEVERITIES_DOWN, SeverityIcon } from "~/shared/ui/severity";
import { ShapeGlyph } from "~/shared/ui/shape-glyph";

interface LayersPanelProps {
  counts: [string, number][];
  hidden: ReadonlySet<string>;
  colourBy: "type" | "state";
  onHide: (types: Set<string>) => void;
  onColourBy: (by: "type" | "state") => void;
}

/** Legend and layer switches in one: what each sign means, how many there are, and whether it is shown. */
export function LayersPanel({ counts, hidden, colourBy, onHide, onColourBy }: LayersPanelProps) {
  const { t } = useTranslation();
  const words = useWords();
  const theme = useTheme((state) => state.theme);
  const [open, setOpen] = useState(() => globalThis.innerWidth > 1000);

  const toggle = (type: string) => {
    const next = new Set(hidden);
    if (!next.delete(type)) next.add(type);
    onHide(next);
  };
  const only = (type: string) => onHide(new Set(counts.map(([one]) => one).filter((one) => one !== type)));

  return (
    <section className="panel" aria-label={t("map.layers")} data-testid="layers-panel">
      <div className="panel-head">
        <h2>
          <Icon name="layers" /> {t("map.layers")}
        </h2>
        <span className="row">
          <span className="segmented" role="group" aria-label={t("map.colour_by")}>
            {(["type", "state"] as const).map((by) => (
              <button key={by} type="button" aria-pressed={colourBy === by} onClick={() => onColourBy(by)}>
                {t(`map.by_${by}`)}
              </button>
            ))}
          </span>
          <button
            type="button"
            className="icon-button"
            aria-expanded={open}
            aria-label={open ? t("common.collapse") : t("common.expand")}
            onClick={() => setOpen(!open)}
          >
            <span style={{ display: "grid", transform: open ? "rotate(180deg)" : undefined }}>
              <Icon name="chevron" size={15} />
            </span>
          </button>
        </span>
      </div>
      {open && (
        <div className="panel-body">
          {counts.length === 0 && <p className="muted" style={{ padding: "12px 14px" }}>{t("map.nothing")}</p>}
          <ul className="legend">
            {counts.map(([type, count]) => (
              <li key={type}>
                <button
                  type="button"
                  className="toggle"
                  aria-pressed={!hidden.has(type)}
                  title={t("map.layer_hint")}
                  data-testid={`layer-${type}`}
                  onClick={(event) => (event.altKey || event.shiftKey ? only(type) : toggle(type))}
                >
                  <ShapeGlyph shape={lookOf(type).shape} colour={colourBy === "type" ? colourOf(type, theme) : stateColour("normal", theme)} />
                  <span className="label truncate">{words.typeLabel(type)}</span>
                  <span className="num">{count.toLocaleString()}</span>
                </button>
              </li>
            ))}
          </ul>
          <div className="severity-key" aria-label={t("map.severity_key")} role="group">
            {SEVERITIES_DOWN.map((severity) => (
              <span key={severity} className="row" style={{ gap: 5 }}>
                <SeverityIcon severity={severity} size={15} />
                {t(`severity.${severity}`)}
              </span>
            ))}
          </div>
        </div>
      )}
    </section>
  );
}
