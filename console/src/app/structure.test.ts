import { expect, test } from "vitest";

const sources = import.meta.glob<string>("../**/*.{ts,tsx}", { eager: true, query: "?raw", import: "default" });

const imports = (source: string) => [...source.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((match) => match[1]!);

const area = (path: string) => /(?:^|\/)(?:~\/|\.\.\/)?(app|shared|features\/[a-z-]+)\//.exec(path)?.[1];

test("shared imports no feature, features import neither each other nor the app", () => {
  const wrong: string[] = [];
  for (const [file, source] of Object.entries(sources)) {
    const own = area(file);
    for (const target of imports(source).filter((one) => one.startsWith("~/"))) {
      const other = area(target);
      const fromFeature = own?.startsWith("features/") && other !== own && other !== "shared";
      if ((own === "shared" && other !== "shared") || fromFeature) wrong.push(`${file} → ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("what is relative stays in its own folder", () => {
  const wrong = Object.entries(sources).flatMap(([file, source]) =>
    file.endsWith(".test.ts") ? [] : imports(source).filter((one) => one.startsWith("../")).map((one) => `${file} → ${one}`),
  );
  expect(wrong).toEqual([]);
});

test("files are named in kebab case", () => {
  const wrong = Object.keys(sources).filter((file) => !/^[a-z0-9-]+(\.test|\.d)?\.tsx?$/.test(file.split("/").at(-1)!));
  expect(wrong).toEqual([]);
});

test("no source names another server", () => {
  const wrong = Object.entries(sources).flatMap(([file, source]) =>
    file.includes(".test.") || file.endsWith("schema.d.ts")
      ? []
      : [...source.matchAll(/["'`](?:https?:)?\/\/(?!\$)[a-z0-9.-]+/g)].map((match) => `${file}: ${match[0]}`),
  );
  expect(wrong.filter((one) => !one.includes("http://www.w3.org"))).toEqual([]);
});
