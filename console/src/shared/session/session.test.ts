import { expect, test } from "vitest";
import { may, type Principal } from "./session";

const officer = {
  kind: "user",
  id: "u1",
  name: "officer",
  roles: ["duty-officer"],
  must_change_password: false,
  permissions: [
    { action: "warning.acknowledge", departments: ["water"], entity_types: null },
    { action: "entity.read", departments: null, entity_types: null },
  ],
} as unknown as Principal;

test("a permission without departments holds everywhere", () => {
  expect(may(officer, "entity.read", "traffic")).toBe(true);
});

test("a permission by department holds there only, and somewhere when no department is asked about", () => {
  expect(may(officer, "warning.acknowledge", "water")).toBe(true);
  expect(may(officer, "warning.acknowledge", "traffic")).toBe(false);
  expect(may(officer, "warning.acknowledge")).toBe(true);
});

test("what is not given is denied, and nobody may do nothing", () => {
  expect(may(officer, "user.manage")).toBe(false);
  expect(may(null, "entity.read")).toBe(false);
});
