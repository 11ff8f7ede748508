import { expect, test } from "vitest";
import { coarse, formatInstant } from "./time";

test.each([
  [-5, [0, "seconds"]],
  [59_999, [59, "seconds"]],
  [60_000, [1, "minutes"]],
  [3_599_000, [59, "minutes"]],
  [3_600_000, [1, "hours"]],
  [86_400_000 * 3, [3, "days"]],
])("%i ms reads as %j", (ms, expected) => {
  expect(coarse(ms)).toEqual(expected);
});

test("what is no instant is a dash", () => {
  expect(formatInstant(null, "en")).toBe("–");
  expect(formatInstant("yesterday", "zh")).toBe("–");
});
