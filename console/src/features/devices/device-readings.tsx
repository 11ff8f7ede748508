import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiProblem } from "~/shared/api/client";
import { SeriesChart } from "~/shared/charts/series-chart";
import type { DeviceView } from "~/shared/data/keys";
import { useEntityNow } from "~/shared/data/use-entity-now";
import { formatValue, unitSign, useWords } from "~/shared/data/vocabulary";
import { wantEntities } from "~/shared/live/hub";
import { Age } from "~/shared/ui/age";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";

const MOST = 4;

/** What the device's entities say now, live, with a chart of the chosen property. */
export function DeviceReadings({ device }: { device: DeviceView }) {
  const { t } = useTranslation();
  const entities = useMemo(
    () => [...new Map(device.bindings.map((binding) => [binding.entity_id, binding.entity_type])).entries()].slice(0, MOST),
    [device.bindings],
  );
  const types = entities.map(([, type]) => type).join(",");
  useEffect(() => (types ? wantEntities(types.split(",")) : undefined), [types]);

  if (entities.length === 0) return <EmptyState title={t("devices.unbound")} />;
  return entities.map(([id]) => <EntityReadings key={id} id={id} device={device} />);
}

function EntityReadings({ id, device }: { id: string; device: DeviceView }) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const { entity, error, isPending, refetch } = useEntityNow(id);
  const [chosen, setChosen] = useState<string | null>(null);
  if (isPending) return <LoadingState />;
  // An entity comes into being with its first reading.
  if (error instanceof ApiProblem && error.status === 404) return <EmptyState title={t("devices.no_readings")} />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  if (!entity) return null;
  const own = device.bindings.filter((binding) => binding.entity_id === id);
  const all = own.some((binding) => binding.channel === "*" || binding.property === null);
  const names = new Set(own.map((binding) => binding.property ?? binding.channel));
  const values = entity.attributes.filter((attribute) => attribute.observedAt && (all || names.has(attribute.name)));
  const numeric = values.filter((attribute) => typeof attribute.value === "number");
  const charted = numeric.find((attribute) => attribute.name === chosen) ?? numeric[0];

  return (
    <div style={{ display: "grid", gap: 12 }}>
      {values.length === 0 && <EmptyState title={t("devices.no_readings")} />}
      <div className="device-values">
        {values.map((attribute) => {
          const property = words.property(entity.type, attribute.name);
          return (
            <button
              key={attribute.name}
              type="button"
              className="device-value"
              aria-pressed={attribute === charted}
              disabled={!numeric.includes(attribute)}
              data-testid={`value-${attribute.name}`}
              data-value={String(attribute.value)}
              onClick={() => setChosen(attribute.name)}
            >
              <span className="muted">{words.propertyLabel(entity.type, attribute.name)}</span>
              <b className="num">
                {formatValue(attribute.value, property, i18n.language, { yes: t("common.yes"), no: t("common.no") })}{" "}
                <small>{unitSign(property?.unit ?? attribute.unitCode)}</small>
              </b>
              <small>
                <Age at={attribute.observedAt} />
              </small>
            </button>
          );
        })}
      </div>
      {charted?.observedAt && (
        <SeriesChart
          entityId={id}
          entityType={entity.type}
          property={charted.name}
          last="24h"
          newest={{ at: Date.parse(charted.observedAt), value: charted.value as number }}
          height={220}
        />
      )}
    </div>
  );
}
