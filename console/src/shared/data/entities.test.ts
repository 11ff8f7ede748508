import { expect, test } from "vitest";
import { localName, readEntity, readFeatures, typeOfId } from "./entities";

const drain = {
  id: "urn:ngsi-ld:WaterLevelObserved:drain-7",
  type: "WaterLevelObserved",
  "@context": ["https://example.org"],
  name: { type: "LanguageProperty", languageMap: { en: "Drain 7", zh: "7号井" } },
  location: { type: "GeoProperty", value: { type: "Point", coordinates: [117.3, 31.8] } },
  waterLevel: [
    { type: "Property", value: 9, datasetId: "urn:ngsi-ld:Dataset:b" },
    { type: "Property", value: 1.2, unitCode: "MTR", observedAt: "2026-01-01T00:00:00Z", flags: { type: "Property", value: ["corrected"] } },
  ],
  refDistrict: { type: "Relationship", object: "urn:ngsi-ld:District:d1" },
};

test("a normalized entity becomes values, of parallel instances the default one", () => {
  const entity = readEntity(drain, "zh");
  expect(entity.name).toBe("7号井");
  expect(entity.location?.coordinates).toEqual([117.3, 31.8]);
  expect(entity.attributes).toEqual([
    { name: "waterLevel", kind: "Property", value: 1.2, unitCode: "MTR", observedAt: "2026-01-01T00:00:00Z", flags: ["corrected"] },
    { name: "refDistrict", kind: "Relationship", value: "urn:ngsi-ld:District:d1", unitCode: null, observedAt: null, flags: [] },
  ]);
});

test("ids are told apart into type and local name", () => {
  expect(localName(drain.id)).toBe("drain-7");
  expect(typeOfId(drain.id)).toBe("WaterLevelObserved");
  expect(localName("plain")).toBe("plain");
});

test("the map's columns become entities", () => {
  const features = { types: ["Pump"], ids: ["a"], names: [null], lon: [1], lat: [2], type: [0], state: ["red"], total: 1, truncated: false };
  expect([...readFeatures(features)]).toEqual([
    { id: "a", type: "Pump", name: null, lon: 1, lat: 2, state: "red", observedAt: null, values: {} },
  ]);
});
