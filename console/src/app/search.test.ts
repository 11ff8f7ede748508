import { expect, test } from "vitest";
import { mapSearch, signInSearch, warningsSearch } from "./search";

test("after signing in nobody is led to another server", () => {
  expect(signInSearch({ next: "/warnings?severity=red" }).next).toBe("/warnings?severity=red");
  for (const next of ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]) {
    expect(signInSearch({ next }).next).toBeUndefined();
  }
});

test("severities come in their own order, unknown ones are left out", () => {
  expect(warningsSearch({ severity: "blue,purple,red" }).severity).toEqual(["red", "blue"]);
  expect(warningsSearch({ severity: "purple" }).severity).toBeUndefined();
});

test("a camera that is no camera is left out", () => {
  expect(mapSearch({ at: "117.3,31.84,12.5" }).at).toBe("117.3,31.84,12.5");
  expect(mapSearch({ at: "somewhere" }).at).toBeUndefined();
});
