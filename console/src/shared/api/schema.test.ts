import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, test } from "vitest";

const here = (path: string) => new URL(path, import.meta.url);

test("the API's types are those of openapi.json; mend with: npm run types", async () => {
  const made = astToString(await openapiTS(here("../../../openapi.json")));
  const kept = readFileSync(fileURLToPath(here("./schema.d.ts")), "utf8");
  expect(kept.slice(kept.indexOf("export interface paths")).trim()).toBe(made.slice(made.indexOf("export interface paths")).trim());
}, 30_000);
