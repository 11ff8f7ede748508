/** All texts of this language, one file per feature. */
const files = import.meta.glob<Record<string, unknown>>("./locales/en/*.json", { eager: true, import: "default" });

export const texts: Record<string, unknown> = Object.fromEntries(
  Object.entries(files).map(([path, content]) => [path.replace(/^.*\/|\.json$/g, ""), content]),
);
