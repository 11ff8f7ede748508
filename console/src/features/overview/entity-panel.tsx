import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { SeriesChart } from "~/shared/charts/series-chart";
import { useActiveWarnings } from "~/shared/data/active-warnings";
import { devicesOfEntityQuery } from "~/shared/data/devices";
import { type AttributeNow, type EntityNow, localName, typeOfId } from "~/shared/data/entities";
import { useEntityNow } from "~/shared/data/use-entity-now";
import { formatValue, unitSign, useWords } from "~/shared/data/vocabulary";
import { type Language, pick } from "~/shared/i18n/i18n";
import { entityStore } from "~/shared/live/entities";
import { colourOf, lookOf } from "~/shared/map/looks";
import { useMay } from "~/shared/session/session";
import { useTheme } from "~/shared/theme/theme";
import { useNow } from "~/shared/time/time";
import { Age } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { SeverityIcon } from "~/shared/ui/severity";
import { ShapeGlyph } from "~/shared/ui/shape-glyph";
import { ErrorState, LoadingState } from "~/shared/ui/states";
import { STALE_MS } from "./stale";

interface EntityPanelProps {
  id: string;
  onClose: () => void;
  onSelect: (id: string) => void;
  onLocate: (lon: number, lat: number) => void;
}

const SPANS = ["1h", "6h", "24h"] as const;

/** One entity: what it says now, how old that is, how the last day went, and where to go on. */
export function EntityPanel({ id, onClose, onSelect, onLocate }: EntityPanelProps) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const theme = useTheme((state) => state.theme);
  const { entity, error, isPending, refetch } = useEntityNow(id);
  const type = entity?.type || typeOfId(id);
  const onMap = entityStore.get(id);
  const warnings = useActiveWarnings((state) => state.list).filter((warning) => warning.entity_id === id);

  return (
    <section className="panel" style={{ flex: "1 1 auto" }} aria-label={t("map.entity")} data-testid="entity-panel" data-entity-id={id}>
      <div className="entity-head">
        <div className="row">
          <span style={{ paddingTop: 4 }}>
            <ShapeGlyph shape={lookOf(type).shape} colour={colourOf(type, theme)} size={17} />
          </span>
          <div className="grow">
            <h2>{entity?.name ?? onMap?.name ?? localName(id)}</h2>
            <div className="muted">{words.typeLabel(type)}</div>
            <div className="mono muted truncate" title={id}>
              {id}
            </div>
          </div>
          {onMap && (
            <button type="button" className="icon-button" title={t("map.locate")} aria-label={t("map.locate")} onClick={() => onLocate(onMap.lon, onMap.lat)}>
              <Icon name="target" />
            </button>
          )}
          <button type="button" className="icon-button" aria-label={t("common.close")} data-testid="entity-close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        {warnings.map((warning) => (
          <Link key={warning.id} to="/warnings" search={{ warning: warning.id }} className="row" style={{ marginTop: 8, color: `var(--sev-${warning.severity})` }}>
            <SeverityIcon severity={warning.severity} />
            {pick(warning.headline, i18n.language as Language)}
          </Link>
        ))}
      </div>
      <div className="panel-body">
        {isPending && <LoadingState />}
        {error && <ErrorState error={error} retry={() => void refetch()} />}
        {entity && <EntityBody entity={entity} onSelect={onSelect} />}
      </div>
    </section>
  );
}

function EntityBody({ entity, onSelect }: { entity: EntityNow; onSelect: (id: string) => void }) {
  const { t } = useTranslation();
  const words = useWords();
  const mayDevices = useMay("device.read");
  const { data: devices } = useQuery({ ...devicesOfEntityQuery(entity.id), enabled: mayDevices });
  const silence = Math.max(0, ...(devices?.items ?? []).map((device) => device.silence_s * 1000));
  const main = words.type(entity.type)?.main;
  const values = inReadingOrder(entity.attributes.filter((attribute) => attribute.kind !== "Relationship"), main);
  const relations = entity.attributes.filter((attribute) => attribute.kind === "Relationship");
  const numeric = values.filter((attribute) => typeof attribute.value === "number" && attribute.observedAt);
  const [chosen, setChosen] = useState<string | null>(null);
  const charted = numeric.find((attribute) => attribute.name === chosen) ?? numeric[0];
  const [span, setSpan] = useState<(typeof SPANS)[number]>("24h");
  const newest = useMemo(
    () =>
      charted?.observedAt && typeof charted.value === "number"
        ? { at: Date.parse(charted.observedAt), value: charted.value }
        : null,
    [charted?.observedAt, charted?.value],
  );

  return (
    <>
      <div className="entity-section" style={{ borderTop: 0 }}>
        {values.length === 0 && <p className="muted">{t("map.no_values")}</p>}
        <table className="values">
          <caption className="visually-hidden">{t("map.values")}</caption>
          <tbody>
            {values.map((attribute) => (
              <ValueRow
                key={attribute.name}
                entity={entity}
                attribute={attribute}
                staleAfterMs={silence || STALE_MS}
                chosen={attribute === charted}
                onChart={numeric.includes(attribute) ? () => setChosen(attribute.name) : undefined}
              />
            ))}
          </tbody>
        </table>
      </div>
      {charted && (
        <div className="entity-section">
          <div className="chart-head">
            <strong>{words.propertyLabel(entity.type, charted.name)}</strong>
            <span className="segmented" role="group" aria-label={t("chart.span")}>
              {SPANS.map((one) => (
                <button key={one} type="button" aria-pressed={one === span} onClick={() => setSpan(one)}>
                  {t(`chart.last_${one}`)}
                </button>
              ))}
            </span>
          </div>
          <SeriesChart entityId={entity.id} entityType={entity.type} property={charted.name} last={span} newest={newest} height={164} />
        </div>
      )}
      {relations.length > 0 && (
        <div className="entity-section">
          <h3>{t("map.relations")}</h3>
          <dl className="facts">
            {relations.map((relation) => (
              <div key={relation.name} style={{ display: "contents" }}>
                <dt>{words.propertyLabel(entity.type, relation.name)}</dt>
                <dd>
                  {[relation.value].flat().map((target) => (
                    <button key={String(target)} type="button" className="button quiet small" style={{ padding: 0, minHeight: 0, color: "var(--accent)" }} onClick={() => onSelect(String(target))}>
                      {entityStore.get(String(target))?.name ?? localName(String(target))}
                    </button>
                  ))}
                </dd>
              </div>
            ))}
          </dl>
        </div>
      )}
      <div className="entity-section links">
        {(devices?.items ?? []).slice(0, 4).map((device) => (
          <Link key={device.id} to="/devices/$deviceId" params={{ deviceId: device.id }} className="button small" data-testid="entity-device">
            <Icon name="device" size={15} />
            <span className="truncate" style={{ maxWidth: 200 }}>{device.name}</span>
          </Link>
        ))}
        <Link to="/warnings" search={{ state: "all", q: localName(entity.id) }} className="button small">
          <Icon name="warning" size={15} /> {t("map.its_warnings")}
        </Link>
      </div>
    </>
  );
}

/** What is measured before what is fixed, and the type's main property first of all. */
function inReadingOrder(attributes: AttributeNow[], main: string | null | undefined): AttributeNow[] {
  const rank = (attribute: AttributeNow) => (attribute.name === main ? 0 : attribute.observedAt ? 1 : 2);
  return [...attributes].sort((a, b) => rank(a) - rank(b));
}

interface ValueRowProps {
  entity: EntityNow;
  attribute: AttributeNow;
  staleAfterMs: number;
  chosen: boolean;
  onChart?: (() => void) | undefined;
}

function ValueRow({ entity, attribute, staleAfterMs, chosen, onChart }: ValueRowProps) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const now = useNow(5000);
  const property = words.property(entity.type, attribute.name);
  const label = words.propertyLabel(entity.type, attribute.name);
  const stale = attribute.observedAt !== null && now - Date.parse(attribute.observedAt) > staleAfterMs;
  const unit = unitSign(property?.unit ?? attribute.unitCode);
  return (
    <tr className={chosen ? "chosen" : undefined}>
      <th scope="row">
        {onChart ? (
          <button type="button" title={t("chart.show")} onClick={onChart}>
            {label}
          </button>
        ) : (
          label
        )}
      </th>
      <td className="value num" data-testid={`value-${attribute.name}`} data-value={String(attribute.value)} data-observed-at={attribute.observedAt ?? ""}>
        {formatValue(attribute.value, property, i18n.language, { yes: t("common.yes"), no: t("common.no") })}
        {unit && <small>{unit}</small>}
      </td>
      <td className="age">
        {stale ? (
          <span className="pill warn" data-testid="stale-badge">
            <Icon name="clock" size={12} /> {t("map.stale")} <Age at={attribute.observedAt} everyMs={10_000} />
          </span>
        ) : (
          attribute.observedAt && <Age at={attribute.observedAt} />
        )}
        {attribute.flags.length > 0 && (
          <span className="pill warn" title={attribute.flags.join(", ")}>
            {t("map.doubt")}
          </span>
        )}
      </td>
    </tr>
  );
}
