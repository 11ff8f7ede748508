import { create } from "zustand";
import { answer, api } from "~/shared/api/client";
import { type Severity, SEVERITIES_DOWN } from "~/shared/ui/severity";
import type { WarningView } from "./keys";

interface ActiveWarnings {
  /** All active warnings, the gravest first, then the newest. */
  list: WarningView[];
  loaded: boolean;
}

/** The warnings that hold now: one copy for the bar's badge, the map's halos and the list beside the map. */
export const useActiveWarnings = create<ActiveWarnings>(() => ({ list: [], loaded: false }));

/** How many of them one page may hold; beyond it the gravest matter. */
const MOST = 1000;

export async function loadActiveWarnings(): Promise<void> {
  const page = await answer(api.GET("/api/v1/warnings", { params: { query: { state: "active", limit: MOST } } }));
  useActiveWarnings.setState({ list: ordered(page.items), loaded: true });
}

export type Change = "raised" | "escalated" | "other";

/** Take one warning from the live stream; say whether it is new or has become graver. */
export function takeWarning(warning: WarningView): Change {
  const { list } = useActiveWarnings.getState();
  const before = list.find((known) => known.id === warning.id);
  if (before && before.version > warning.version) return "other";
  const rest = list.filter((known) => known.id !== warning.id);
  const active = warning.state === "active";
  useActiveWarnings.setState({ list: active ? ordered([...rest, warning]) : rest });
  if (!active) return "other";
  if (!before) return "raised";
  return rank(warning.severity) < rank(before.severity) ? "escalated" : "other";
}

/** The gravest severity on each entity. */
export function severityByEntity(list: readonly WarningView[]): Map<string, Severity> {
  const gravest = new Map<string, Severity>();
  for (const warning of list) if (!gravest.has(warning.entity_id)) gravest.set(warning.entity_id, warning.severity);
  return gravest;
}

function ordered(list: WarningView[]): WarningView[] {
  return [...list].sort((a, b) => rank(a.severity) - rank(b.severity) || b.raised_at.localeCompare(a.raised_at));
}

function rank(severity: Severity): number {
  return SEVERITIES_DOWN.indexOf(severity);
}
