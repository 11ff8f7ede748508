import { expect, test } from "vitest";
import { gapOf } from "~/shared/data/accounting";
import { fromBase64, hexDump } from "./hex";

test("a dump shows offset, bytes and what is printable", () => {
  expect(hexDump(new Uint8Array([0x7b, 0x00, 0xff]))).toBe(`000000  7b 00 ff${" ".repeat(39)}  {..`);
});

test("a long payload is cut and says so", () => {
  const lines = hexDump(new Uint8Array(100), 32).split("\n");
  expect(lines).toHaveLength(3);
  expect(lines.at(-1)).toBe("…");
});

test("base64 gives the bytes back, not text", () => {
  expect([...fromBase64("/wB7")]).toEqual([255, 0, 123]);
});

test("an account that does not add up has a gap", () => {
  expect(gapOf({ received: 10, stored: 7, rejected: 2, dropped: 1 })).toBe(0);
  expect(gapOf({ received: 10, stored: 7, rejected: 2, dropped: 0 })).toBe(1);
});
