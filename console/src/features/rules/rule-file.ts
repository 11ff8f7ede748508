/** A rule's own text as a file of rules that holds this one; a text that is a file already stays as it is. */
export function asRuleFile(text: string): string {
  if (/^rules\s*:/m.test(text)) return text;
  const lines = text.trimEnd().split("\n");
  return `rules:\n${lines.map((line, index) => (line.trim() === "" ? "" : `${index === 0 ? "  - " : "    "}${line}`)).join("\n")}\n`;
}
