/** One table cell after RFC 4180; a text that a spreadsheet would take for a formula is made harmless. */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) return "";
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(rows: Record<string, unknown>[]): string {
  const columns = Object.keys(rows[0] ?? {});
  return [columns.join(","), ...rows.map((row) => columns.map((column) => csvCell(row[column])).join(","))].join("\r\n");
}

/** Save rows as a CSV file named after what it holds and when; the mark at its begin lets Excel read Chinese. */
export function downloadCsv(name: string, rows: Record<string, unknown>[]): void {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
  saveFile(`${name}-${stamp}.csv`, new Blob([`\uFEFF${toCsv(rows)}`], { type: "text/csv;charset=utf-8" }));
}

export function saveFile(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
