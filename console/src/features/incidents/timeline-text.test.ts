import type { TFunction } from "i18next";
import { expect, test } from "vitest";
import { timelineText } from "./timeline-text";

const t = ((key: string, values?: object) => (values ? `${key} ${JSON.stringify(values)}` : key)) as unknown as TFunction;

test("the server's own text comes first, in the reader's language", () => {
  const entry = { kind: "warning", text: { en: "High water", zh: "水位高" }, details: { change: "attached" } };
  expect(timelineText(entry, t, "zh")).toBe("水位高");
  expect(timelineText(entry, t, "en")).toBe("High water");
});

test("a note is its text", () => {
  expect(timelineText({ kind: "note", text: null, details: { text: "Crew is there" } }, t, "en")).toBe("Crew is there");
});

test("a kind that this console does not know is shown by its name", () => {
  expect(timelineText({ kind: "evacuated", text: null, details: {} }, t, "en")).toBe("evacuated");
});

test("a command names itself and its device", () => {
  const text = timelineText({ kind: "command", text: null, details: { name: "switch", device_id: "pump-1", state: "sent" } }, t, "en");
  expect(text).toContain('"name":"switch"');
  expect(text).toContain('"device":"pump-1"');
});
