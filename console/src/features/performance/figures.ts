/** A rate as people read it: two digits while small, none when large. */
export function rate(value: number): string {
  return value.toLocaleString(undefined, { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

/** A duration in ms; nothing measured is a dash. */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return `${value.toLocaleString(undefined, { maximumSignificantDigits: 3 })} ms`;
}

/** Bytes in the unit that fits. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toLocaleString(undefined, { maximumSignificantDigits: 3 })} ${units[unit]}`;
}

/** The widths, in percent, of the bars of a histogram. */
export function bars(counts: number[]): number[] {
  const most = Math.max(1, ...counts);
  return counts.map((count) => (100 * count) / most);
}
