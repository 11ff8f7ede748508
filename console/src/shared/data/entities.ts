import { queryOptions } from "@tanstack/react-query";
import { answer, api, type Schemas } from "~/shared/api/client";
import type { LiveEntity } from "~/shared/live/entities";
import { KEY } from "./keys";

export interface AttributeNow {
  name: string;
  kind: string;
  value: unknown;
  unitCode: string | null;
  observedAt: string | null;
  flags: string[];
}

export interface EntityNow {
  id: string;
  type: string;
  name: string | null;
  attributes: AttributeNow[];
  location: { type: string; coordinates: unknown } | null;
}

const RESERVED = new Set(["id", "type", "@context", "createdAt", "modifiedAt", "scope"]);

type Raw = Record<string, unknown>;

/** Read an NGSI-LD normalized entity; of parallel instances (datasetId) the default, else the first, is shown. */
export function readEntity(raw: Raw, language: string): EntityNow {
  const type = Array.isArray(raw.type) ? String(raw.type[0]) : String(raw.type ?? "");
  const entity: EntityNow = { id: String(raw.id), type, name: null, attributes: [], location: null };
  for (const [name, content] of Object.entries(raw)) {
    if (RESERVED.has(name) || content === null || typeof content !== "object") continue;
    const instances = (Array.isArray(content) ? content : [content]) as Raw[];
    const chosen = instances.find((instance) => instance.datasetId === undefined) ?? instances[0];
    if (!chosen) continue;
    const value = valueOf(chosen, language);
    if (chosen.type === "GeoProperty") {
      if (name === "location") entity.location = value as EntityNow["location"];
      continue;
    }
    if (name === "name" && typeof value === "string") {
      entity.name = value;
      continue;
    }
    entity.attributes.push({
      name,
      kind: String(chosen.type ?? "Property"),
      value,
      unitCode: typeof chosen.unitCode === "string" ? chosen.unitCode : null,
      observedAt: typeof chosen.observedAt === "string" ? chosen.observedAt : null,
      flags: flagsOf(chosen.flags),
    });
  }
  return entity;
}

function flagsOf(flags: unknown): string[] {
  const list = flags !== null && typeof flags === "object" && !Array.isArray(flags) ? (flags as Raw).value : flags;
  return Array.isArray(list) ? list.map(String) : [];
}

function valueOf(attribute: Raw, language: string): unknown {
  if (attribute.type === "Relationship") return attribute.object;
  if (attribute.type === "LanguageProperty") {
    const map = (attribute.languageMap ?? {}) as Record<string, string>;
    return map[language] ?? map.en ?? map.zh ?? Object.values(map)[0] ?? null;
  }
  return "value" in attribute ? attribute.value : attribute;
}

/** The part of an NGSI-LD id that people read. */
export function localName(id: string): string {
  const parts = id.split(":");
  return parts.length > 3 ? parts.slice(3).join(":") : id;
}

export function typeOfId(id: string): string {
  return id.split(":")[2] ?? "";
}

export const entityQuery = (id: string, language: string) =>
  queryOptions({
    queryKey: [KEY.entities, "one", id, language],
    queryFn: async () =>
      readEntity(
        (await answer(api.GET("/api/v1/entities/{entity_id}", { params: { path: { entity_id: id } } }))) as Raw,
        language,
      ),
  });

export const historyQuery = (id: string, property: string, last: string) =>
  queryOptions({
    queryKey: [KEY.entities, "history", id, property, last],
    queryFn: () =>
      answer(
        api.GET("/api/v1/entities/{entity_id}/history", {
          params: { path: { entity_id: id }, query: { property, last, limit: 5000 } },
        }),
      ),
    refetchInterval: 30_000,
  });

export const mapFeaturesQuery = queryOptions({
  queryKey: [KEY.entities, "map"],
  queryFn: () => answer(api.GET("/api/v1/map/features", { params: { query: { limit: 100_000 } } })),
  staleTime: 60_000,
});

/** Turn the map's columns into live entities. */
export function* readFeatures(features: Schemas["MapFeatures"]): Generator<LiveEntity> {
  for (let index = 0; index < features.ids.length; index += 1) {
    const id = features.ids[index];
    const lon = features.lon[index];
    const lat = features.lat[index];
    if (id === undefined || lon === undefined || lat === undefined) continue;
    yield {
      id,
      type: features.types[features.type[index] ?? -1] ?? "",
      name: features.names[index] ?? null,
      lon,
      lat,
      state: features.state[index] ?? "normal",
      observedAt: null,
      values: {},
    };
  }
}
