import { expect, test } from "vitest";
import type { Schemas } from "~/shared/api/client";
import { formatValue, makeWords, type PropertyView, unitSign } from "./vocabulary";

const words = { yes: "yes", no: "no" };
const level = {
  name: "waterLevel",
  label: { en: "Water level", zh: "水位" },
  kind: "measured",
  decimals: 2,
} as unknown as PropertyView;

test("numbers keep the decimals that the vocabulary gives", () => {
  expect(formatValue(1.5, level, "en", words)).toBe("1.50");
  expect(formatValue(1234.5678, undefined, "en", words)).toBe("1,234.57");
  expect(formatValue(7, undefined, "zh", words)).toBe("7");
});

test("zero and false are values, nothing is a dash", () => {
  expect(formatValue(0, undefined, "en", words)).toBe("0");
  expect(formatValue(false, undefined, "en", words)).toBe("no");
  expect(formatValue(undefined, undefined, "en", words)).toBe("–");
});

test("units are written as people write them", () => {
  expect(unitSign("ug/m3")).toBe("µg/m³");
  expect(unitSign("{vehicle}/h")).toBe("1/h");
  expect(unitSign("km/h")).toBe("km/h");
  expect(unitSign(null)).toBe("");
});

test("without a vocabulary, and for unknown types, the code stands for the name", () => {
  const none = makeWords(undefined, "zh");
  expect(none.typeLabel("Pump")).toBe("Pump");
  expect(none.propertyLabel("Pump", "status")).toBe("status");
});

test("labels come in the reader's language", () => {
  const vocabulary = {
    types: [{ name: "W", label: { en: "Water", zh: "水" }, properties: [level] }],
    severities: [],
    categories: [{ code: "flood", label: { en: "Flood", zh: "洪涝" } }],
  } as unknown as Schemas["VocabularyView"];
  expect(makeWords(vocabulary, "zh").propertyLabel("W", "waterLevel")).toBe("水位");
  expect(makeWords(vocabulary, "en").typeLabel("W")).toBe("Water");
  expect(makeWords(vocabulary, "zh").category("flood")).toBe("洪涝");
});
