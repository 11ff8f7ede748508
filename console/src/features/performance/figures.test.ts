import { expect, test } from "vitest";
import { bars, bytes, milliseconds, rate } from "./figures";

test("rates show digits only while they matter", () => {
  expect(rate(0.256)).toBe("0.26");
  expect(rate(25.64)).toBe("25.6");
  expect(rate(256_400)).toMatch(/^256.400$/);
});

test("what was not measured is a dash", () => {
  expect(milliseconds(null)).toBe("–");
  expect(bytes(undefined)).toBe("–");
  expect(milliseconds(1.2345)).toBe("1.23 ms");
});

test("bytes come in the unit that fits", () => {
  expect(bytes(999)).toBe("999 B");
  expect(bytes(321_000_000)).toBe("321 MB");
});

test("bars are relative to the highest, and an empty histogram has none", () => {
  expect(bars([1, 2, 4])).toEqual([25, 50, 100]);
  expect(bars([0, 0])).toEqual([0, 0]);
});
