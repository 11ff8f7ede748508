import { expect, test } from "vitest";
import type { Schemas } from "~/shared/api/client";
import { may, type Principal, useSession } from "./session";

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

test("asking again who is signed in keeps the same person, a change of rights makes another", () => {
  const answered = { csrf_token: "a", principal: officer } as unknown as Schemas["SessionView"];
  const { set } = useSession.getState();
  set(answered);
  const first = useSession.getState().session?.principal;
  set(structuredClone({ ...answered, csrf_token: "b" }));
  expect(useSession.getState().session?.csrf_token).toBe("b");
  expect(useSession.getState().session?.principal).toBe(first);
  set({ ...answered, principal: { ...officer, permissions: [] } });
  expect(useSession.getState().session?.principal).not.toBe(first);
});
