import { expect, test } from "vitest";
import { asRuleFile } from "./rule-file";

test("a rule becomes a file that holds it alone, line by line", () => {
  expect(asRuleFile("id: high\nlevels:\n  red: 3\n")).toBe("rules:\n  - id: high\n    levels:\n      red: 3\n");
});

test("empty lines stay empty, and a file stays a file", () => {
  expect(asRuleFile("id: high\n\nkind: rate")).toBe("rules:\n  - id: high\n\n    kind: rate\n");
  expect(asRuleFile("# mine\nrules:\n  - id: high\n")).toBe("# mine\nrules:\n  - id: high\n");
});
