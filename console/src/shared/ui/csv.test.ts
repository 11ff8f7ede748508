import { expect, test } from "vitest";
import { csvCell, toCsv } from "./csv";

test("quotes, commas and line breaks survive", () => {
  expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
  expect(csvCell("two\nlines")).toBe('"two\nlines"');
});

test("a text that looks like a formula is made harmless, a negative number stays one", () => {
  expect(csvCell("=HYPERLINK(1)")).toBe("'=HYPERLINK(1)");
  expect(csvCell(-5)).toBe("-5");
});

test("nothing is an empty cell, and columns keep their order", () => {
  expect(toCsv([{ id: "a", x: null }, { id: "b", x: { n: 1 } }])).toBe('id,x\r\na,\r\nb,"{""n"":1}"');
  expect(toCsv([])).toBe("");
});
