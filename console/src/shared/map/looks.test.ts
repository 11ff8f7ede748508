import { expect, test } from "vitest";
import { colourOf, hexToRgb, lookOf } from "./looks";

test("a type of a pack looks the same every time and unlike nothing", () => {
  expect(lookOf("Manhole")).toEqual(lookOf("Manhole"));
  expect(colourOf("Manhole", "dark")).toMatch(/^#[0-9a-f]{6}$/);
  expect(colourOf("Manhole", "dark")).not.toBe(colourOf("Manhole", "light"));
});

test("colours become bytes", () => {
  expect(hexToRgb("#38bdf8")).toEqual([0x38, 0xbd, 0xf8]);
});
