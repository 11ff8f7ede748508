import { expect, test, vi } from "vitest";
import { centreOf, EntityStore, type LiveEntity } from "./entities";

const drain = (values: Record<string, unknown> = {}): LiveEntity => ({
  id: "urn:ngsi-ld:WaterLevelObserved:d1",
  type: "WaterLevelObserved",
  name: null,
  lon: 113,
  lat: 23,
  state: null,
  observedAt: null,
  values,
});

test("a frame changes values and keeps the others", () => {
  const store = new EntityStore();
  store.replace([drain({ waterLevel: 1, flow: 2 })]);
  store.apply([{ id: drain().id, type: "WaterLevelObserved", values: { waterLevel: 1.5 } }], 1);
  expect(store.get(drain().id)?.values).toEqual({ waterLevel: 1.5, flow: 2 });
});

test("an entity without a place is not on the map", () => {
  const store = new EntityStore();
  store.apply([{ id: "urn:x:y:1", type: "Pump", values: {} }], 1);
  expect(store.size).toBe(0);
  store.apply([{ id: "urn:x:y:1", type: "Pump", location: { type: "Point", coordinates: [113, 23] } }], 2);
  expect(store.get("urn:x:y:1")?.lon).toBe(113);
});

test("who watches an entity hears of it where no map has been loaded", () => {
  const store = new EntityStore();
  const hear = vi.fn();
  store.watch("urn:x:y:1", hear);
  const update = { id: "urn:x:y:1", type: "Pump", values: { powerState: "on" } };
  store.apply([update], 1);
  expect(hear).toHaveBeenCalledExactlyOnceWith(update);
});

test("an older observation does not make an entity look older", () => {
  const store = new EntityStore();
  store.replace([drain()]);
  store.apply([{ id: drain().id, type: "W", observedAt: "2026-01-01T00:00:10Z" }], 1);
  store.apply([{ id: drain().id, type: "W", observedAt: "2026-01-01T00:00:05Z" }], 2);
  expect(store.get(drain().id)?.observedAt).toBe(Date.parse("2026-01-01T00:00:10Z"));
});

test("a snapshot after a loss keeps what arrived live", () => {
  const store = new EntityStore();
  store.replace([drain()]);
  store.apply([{ id: drain().id, type: "W", values: { waterLevel: 3 } }], 1);
  store.replace([drain({ flow: 1 })]);
  expect(store.get(drain().id)?.values).toEqual({ flow: 1, waterLevel: 3 });
});

test("a deleted entity leaves the map", () => {
  const store = new EntityStore();
  store.replace([drain()]);
  store.apply([{ id: drain().id, type: "WaterLevelObserved", values: {}, deleted: true }], 1);
  expect(store.size).toBe(0);
});

test("watchers hear of their own entity only, until they leave", () => {
  const store = new EntityStore();
  store.replace([drain(), { ...drain(), id: "other" }]);
  const watcher = vi.fn();
  const leave = store.watch("other", watcher);
  store.apply([{ id: drain().id, type: "W" }], 1);
  expect(watcher).not.toHaveBeenCalled();
  store.apply([{ id: "other", type: "W" }], 2);
  leave();
  store.apply([{ id: "other", type: "W" }], 3);
  expect(watcher).toHaveBeenCalledTimes(1);
});

test("the centre of a polygon is the middle of its box", () => {
  expect(
    centreOf({
      type: "Polygon",
      coordinates: [
        [
          [0, 0],
          [2, 0],
          [2, 4],
          [0, 0],
        ],
      ],
    }),
  ).toEqual([1, 2]);
  expect(centreOf({ type: "Point", coordinates: [] })).toBeNull();
  expect(centreOf(null)).toBeNull();
});
