import { expect, test } from "vitest";
import type { EntityNow } from "./entities";
import { overtake } from "./use-entity-now";

const fetched: EntityNow = {
  id: "urn:ngsi-ld:WaterLevelObserved:d",
  type: "WaterLevelObserved",
  name: null,
  location: null,
  attributes: [
    { name: "waterLevel", kind: "Property", value: 1, unitCode: "m", observedAt: "2026-01-01T00:00:10Z", flags: ["corrected"] },
  ],
};
const level = (entity: EntityNow) => entity.attributes.find((one) => one.name === "waterLevel");

test("a newer live value is shown, and the doubts of the older one are not", () => {
  const shown = level(overtake(fetched, { waterLevel: { value: 2, observedAt: "2026-01-01T00:00:20Z" } }));
  expect(shown).toMatchObject({ value: 2, observedAt: "2026-01-01T00:00:20Z", flags: [], unitCode: "m" });
});

test("an older live value, as after a reconnection, does not overtake", () => {
  const shown = level(overtake(fetched, { waterLevel: { value: 2, observedAt: "2026-01-01T00:00:05Z" } }));
  expect(shown?.value).toBe(1);
});

test("a property that was not there before appears", () => {
  const entity = overtake(fetched, { flow: { value: 3, observedAt: null } });
  expect(entity.attributes.map((one) => one.name)).toEqual(["waterLevel", "flow"]);
});
