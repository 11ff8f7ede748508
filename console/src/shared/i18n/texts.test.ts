import { expect, test } from "vitest";
import { texts as en } from "./en";
import { texts as zh } from "./zh";

type Tree = { [key: string]: string | Tree };

function flatten(tree: Tree, prefix = ""): Map<string, string> {
  const flat = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    const path = prefix ? `${prefix}.${key}` : key;
    if (typeof value === "string") flat.set(path, value);
    else for (const [inner, text] of flatten(value, path)) flat.set(inner, text);
  }
  return flat;
}

const keysOf = (tree: unknown) => new Set(flatten(tree as Tree).keys());

const placeholders = (text: string) => [...text.matchAll(/{{\s*(\w+)/g)].map((match) => match[1]).sort();

const sources = import.meta.glob<string>("../../**/*.{ts,tsx}", { eager: true, query: "?raw", import: "default" });

test("both languages have the same keys", () => {
  expect([...keysOf(zh)].sort()).toEqual([...keysOf(en)].sort());
});

test("no text is empty, and both languages fill in the same values", () => {
  const english = flatten(en as Tree);
  for (const [key, chinese] of flatten(zh as Tree)) {
    expect(chinese.trim(), key).not.toBe("");
    expect(placeholders(chinese), key).toEqual(placeholders(english.get(key) ?? ""));
  }
});

test("every key that the code names exists", () => {
  const known = keysOf(en);
  const missing: string[] = [];
  for (const [file, source] of Object.entries(sources)) {
    if (file.includes(".test.")) continue;
    for (const match of source.matchAll(/\bt\(\s*"([a-zA-Z0-9_.-]+)"/g)) {
      if (!known.has(match[1]!)) missing.push(`${file}: ${match[1]}`);
    }
  }
  expect(missing).toEqual([]);
});

test("every key is used by the code", () => {
  const everything = Object.values(sources).join("\n");
  const built = [...everything.matchAll(/`([a-z_]+\.[a-z_]*)\$\{/g)].map((match) => match[1]!);
  const unused = [...keysOf(en)].filter(
    (key) => !everything.includes(`"${key}"`) && !built.some((prefix) => key.startsWith(prefix)),
  );
  expect(unused).toEqual([]);
});
