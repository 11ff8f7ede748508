import { beforeEach, expect, test } from "vitest";
import { severityByEntity, takeWarning, useActiveWarnings } from "./active-warnings";
import type { WarningView } from "./keys";

const warning = (id: string, extra: Partial<WarningView> = {}) =>
  ({
  id,
  rule_id: "flood/drain",
  entity_id: "urn:d1",
  entity_type: "WaterLevelObserved",
  severity: "yellow",
  category: "flood",
  state: "active",
  acknowledged: false,
  headline: { en: "High" },
  description: {},
  raised_at: "2026-01-01T00:00:00Z",
  changed_at: "2026-01-01T00:00:00Z",
  repeats: 0,
  values: {},
  actions: [],
  version: 1,
  ...extra,
}) as WarningView;
const ids = () => useActiveWarnings.getState().list.map((one) => one.id);

beforeEach(() => useActiveWarnings.setState({ list: [], loaded: true }));

test("the gravest comes first, then the newest", () => {
  takeWarning(warning("old"));
  takeWarning(warning("new", { raised_at: "2026-01-01T00:01:00Z" }));
  takeWarning(warning("red", { severity: "red" }));
  expect(ids()).toEqual(["red", "new", "old"]);
});

test("says what is new, what is graver and what is neither", () => {
  expect(takeWarning(warning("a"))).toBe("raised");
  expect(takeWarning(warning("a", { severity: "orange", version: 2 }))).toBe("escalated");
  expect(takeWarning(warning("a", { severity: "orange", acknowledged: true, version: 3 }))).toBe("other");
  expect(takeWarning(warning("a", { severity: "blue", version: 4 }))).toBe("other");
});

test("a cleared warning leaves, and a late older version does not bring anything back", () => {
  takeWarning(warning("a", { version: 3 }));
  takeWarning(warning("a", { severity: "red", version: 2 }));
  expect(useActiveWarnings.getState().list[0]?.severity).toBe("yellow");
  takeWarning(warning("a", { state: "cleared", version: 4 }));
  expect(ids()).toEqual([]);
});

test("an entity has the colour of its gravest warning", () => {
  takeWarning(warning("a", { severity: "blue" }));
  takeWarning(warning("b", { severity: "orange" }));
  expect(severityByEntity(useActiveWarnings.getState().list).get("urn:d1")).toBe("orange");
});
