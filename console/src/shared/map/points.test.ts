import { expect, test } from "vitest";
import type { LiveEntity } from "~/shared/live/entities";
import { isStale, layOut, mercator, nearest, type PointsInput } from "./points";
import { FLAG_SELECTED, FLAG_STALE, STRIDE } from "./points-layer";

const NOW = 1_000_000_000;
const entity = (id: string, lon: number, lat: number, extra: Partial<LiveEntity> = {}): LiveEntity => ({
  id,
  type: "Pump",
  name: null,
  lon,
  lat,
  state: "normal",
  observedAt: NOW,
  values: {},
  ...extra,
});
const input = (entities: LiveEntity[], extra: Partial<PointsInput> = {}): PointsInput => ({
  entities,
  size: entities.length,
  hidden: new Set(),
  selected: null,
  theme: "dark",
  colourBy: "type",
  now: NOW,
  staleAfterMs: 60_000,
  ...extra,
});

test("warned entities are drawn last, so that they lie on top, the gravest at the very end", () => {
  const points = layOut(
    input([entity("red", 1, 1, { state: "red" }), entity("plain", 1, 1), entity("blue", 1, 1, { state: "blue" })]),
  );
  expect(points.ids).toEqual(["plain", "blue", "red"]);
  expect(points.halos).toBe(true);
});

test("hidden types are not drawn, the selected one always is", () => {
  const entities = [entity("a", 1, 1), entity("b", 1, 1)];
  expect(layOut(input(entities, { hidden: new Set(["Pump"]), selected: "b" })).ids).toEqual(["b"]);
});

test("the selected entity lies on top of all", () => {
  const entities = [entity("red", 1, 1, { state: "red" }), entity("chosen", 1, 1), entity("plain", 1, 1)];
  expect(layOut(input(entities, { selected: "chosen" })).ids).toEqual(["plain", "red", "chosen"]);
});

test("staleness and selection are in the flags", () => {
  const points = layOut(input([entity("a", 1, 1, { observedAt: NOW - 60_001 })], { selected: "a" }));
  expect(new Uint8Array(points.buffer)[STRIDE - 2]).toBe(FLAG_STALE | FLAG_SELECTED);
});

test("an entity that never spoke is not called stale", () => {
  expect(isStale(null, NOW, 1)).toBe(false);
  expect(isStale(NOW - 2, NOW, 1)).toBe(true);
});

test("the pointer finds the nearest point within the radius, and nothing beyond it", () => {
  const points = layOut(input([entity("west", 117.3, 31.84), entity("east", 117.301, 31.84)]));
  expect(nearest(points, 117.3008, 31.84, 15, 12)).toBe("east");
  expect(nearest(points, 117.31, 31.84, 15, 12)).toBeNull();
});

test("of two at the same place, the one drawn on top is found", () => {
  const points = layOut(input([entity("warned", 117.3, 31.84, { state: "red" }), entity("plain", 117.3, 31.84)]));
  expect(nearest(points, 117.3, 31.84, 15, 12)).toBe("warned");
});

test("Mercator keeps its landmarks", () => {
  expect(mercator(0, 0)).toEqual([0.5, 0.5]);
  expect(mercator(180, 85.0511287)[0]).toBe(1);
  expect(mercator(0, 85.05)[1]).toBeCloseTo(0, 4);
});
