import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { entityStore } from "~/shared/live/entities";
import { type AttributeNow, type EntityNow, entityQuery } from "./entities";

interface LiveValue {
  value: unknown;
  observedAt: string | null;
}

/** An entity as it is now: what was fetched, overtaken value by value by what the live stream brings. */
export function useEntityNow(id: string) {
  const { i18n } = useTranslation();
  const query = useQuery(entityQuery(id, i18n.language));
  const [live, setLive] = useState<{ id: string; values: Record<string, LiveValue> }>({ id, values: {} });

  useEffect(() => {
    setLive({ id, values: {} });
    return entityStore.watch(id, (update) => {
      const observedAt = update.observedAt ?? null;
      const fresh = Object.entries(update.values ?? {}).map(([name, value]) => [name, { value, observedAt }] as const);
      setLive((before) => ({ id, values: { ...before.values, ...Object.fromEntries(fresh) } }));
    });
  }, [id]);

  const entity = useMemo(
    () => (query.data ? overtake(query.data, live.id === id ? live.values : {}) : undefined),
    [query.data, live, id],
  );
  return { ...query, entity };
}

/** Put newer live values over fetched ones; a live value that is older than the fetched one is left aside. */
export function overtake(entity: EntityNow, live: Record<string, LiveValue>): EntityNow {
  const attributes: AttributeNow[] = entity.attributes.map((attribute) => {
    const newer = live[attribute.name];
    if (!newer || older(newer.observedAt, attribute.observedAt)) return attribute;
    return { ...attribute, value: newer.value, observedAt: newer.observedAt ?? attribute.observedAt, flags: [] };
  });
  const known = new Set(entity.attributes.map((attribute) => attribute.name));
  for (const [name, { value, observedAt }] of Object.entries(live)) {
    if (!known.has(name) && name !== "location" && name !== "name") {
      attributes.push({ name, kind: "Property", value, unitCode: null, observedAt, flags: [] });
    }
  }
  return { ...entity, attributes };
}

function older(a: string | null, b: string | null): boolean {
  return a !== null && b !== null && Date.parse(a) < Date.parse(b);
}
