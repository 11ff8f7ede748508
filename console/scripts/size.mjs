// Fails when the first load of a page grows beyond its budget: gzipped JavaScript and CSS that it needs, in KiB.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const web = process.argv[2] ?? "../src/gulou/web";
const assets = join(web, "assets");
const page = readFileSync(join(web, "index.html"), "utf8");
/** What the page itself names: its script, its style sheets and what it preloads. */
const inPage = { test: (file) => /\.(m?js|css)$/.test(file) && page.includes(`assets/${file}`) };
const BUDGETS = [
  ["entry", inPage, 200],
  ["map", /^(overview-page|city-map|entity-map)-.*\.(js|css)$/, 340],
  ["map worker", /^maplibre-gl-worker-.*\.m?js$/, 160],
  ["charts", /^time-chart-.*\.js$/, 220],
  ["everything but fonts", /\.(m?js|css)$/, 1700],
];

let failed = false;
for (const [name, pattern, budget] of BUDGETS) {
  const files = readdirSync(assets).filter((file) => pattern.test(file));
  const size = files.reduce((sum, file) => sum + gzipSync(readFileSync(join(assets, file)), { level: 9 }).length, 0) / 1024;
  const fits = files.length > 0 && size <= budget;
  failed ||= !fits;
  console.log(`${fits ? "fits " : "FAILS"}  ${name.padEnd(22)} ${size.toFixed(0).padStart(5)} KiB of ${budget} (${files.length} files)`);
}
process.exit(failed ? 1 : 0);
