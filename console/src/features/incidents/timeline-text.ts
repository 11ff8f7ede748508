import type { TFunction } from "i18next";
import type { Schemas } from "~/shared/api/client";
import { type Language, pick } from "~/shared/i18n/i18n";

type Entry = Pick<Schemas["TimelineEntryView"], "kind" | "text" | "details">;

const SENTENCES = new Set(["opened", "dispatched", "task", "note", "command", "action", "severity", "overdue", "closed", "reopened", "warning"]);

/** A line of the timeline as people say it: the server's own text, else a sentence for its kind, else the kind. */
export function timelineText(entry: Entry, t: TFunction, language: Language): string {
  const details = entry.details as Record<string, unknown>;
  const own = pick(entry.text, language);
  if (entry.kind === "warning" && own) return details.change === "cleared" ? t("timeline.warning_cleared", { text: own }) : own;
  if (own) return own;
  const said = (name: string) => (typeof details[name] === "string" ? details[name] : "");
  if (entry.kind === "note") return said("text") || t("timeline.note");
  if (!SENTENCES.has(entry.kind)) return entry.kind;
  if (entry.kind === "opened" && !said("department")) return t("timeline.opened_by_hand");
  return t(`timeline.${entry.kind}`, {
    department: said("department") || t("incidents.nobody"),
    title: said("title"),
    state: said("state") && entry.kind === "task" ? t(`incidents.task_${said("state")}`) : said("state"),
    name: said("name"),
    device: said("device_id") || said("device"),
    result: said("result"),
    reason: said("reason"),
    severity: said("severity") ? t(`severity.${said("severity")}`) : "",
    decision: said("decision") || said("state") ? t(`timeline.decision_${said("decision") || said("state")}`) : "",
  });
}
