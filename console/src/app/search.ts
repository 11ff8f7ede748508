import { RULE_KINDS, RULE_STATES } from "~/shared/data/rules";
import { type Severity, SEVERITIES_DOWN } from "~/shared/ui/severity";

/*
 * What of each page stands in its address. A part that does not make sense is left out, never an error: addresses
 * are typed by hand and kept for years.
 */

type Raw = Record<string, unknown>;

/** Every part of an address may be missing. */
const loose = <T extends object>(parts: T): Partial<T> => parts;

const text = (value: unknown): string | undefined => {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value.slice(0, 500) : undefined;
};

const flag = (value: unknown): boolean | undefined => {
  if (value === true || value === "true") return true;
  return value === false || value === "false" ? false : undefined;
};

const oneOf = <T extends string>(value: unknown, allowed: readonly T[]): T | undefined =>
  allowed.find((known) => known === value);

const severities = (value: unknown): Severity[] | undefined => {
  const list = Array.isArray(value) ? value : typeof value === "string" ? value.split(",") : [];
  const known = SEVERITIES_DOWN.filter((severity) => list.includes(severity));
  return known.length > 0 ? known : undefined;
};

const words = (value: unknown): string[] | undefined => {
  const list = Array.isArray(value) ? value : typeof value === "string" ? value.split(",") : [];
  const kept = list.filter((word): word is string => typeof word === "string" && word !== "").slice(0, 100);
  return kept.length > 0 ? kept : undefined;
};

/** A camera as `lon,lat,zoom`. */
const camera = (value: unknown): string | undefined =>
  typeof value === "string" && /^-?\d+(\.\d+)?,-?\d+(\.\d+)?,\d+(\.\d+)?$/.test(value) ? value : undefined;

export const signInSearch = (raw: Raw) => {
  const next = text(raw.next);
  // Only a path of this console: never a link to another server.
  return loose({ next: next && /^\/(?![/\\])/.test(next) ? next : undefined });
};

export const mapSearch = (raw: Raw) =>
  loose({
    at: camera(raw.at),
    sel: text(raw.sel),
    hide: words(raw.hide),
    by: oneOf(raw.by, ["type", "state"] as const),
  });

export const warningsSearch = (raw: Raw) =>
  loose({
    state: oneOf(raw.state, ["active", "cleared", "all"] as const),
    acked: flag(raw.acked),
    severity: severities(raw.severity),
    q: text(raw.q),
    warning: text(raw.warning),
  });

export const incidentsSearch = (raw: Raw) =>
  loose({
    state: oneOf(raw.state, ["open", "dispatched", "closed"] as const),
    severity: severities(raw.severity),
    overdue: flag(raw.overdue),
    q: text(raw.q),
  });

export const devicesSearch = (raw: Raw) =>
  loose({
    q: text(raw.q),
    kind: text(raw.kind),
    adapter: text(raw.adapter),
    department: text(raw.department),
    gateway: text(raw.gateway),
    online: oneOf(raw.online, ["online", "offline", "never"] as const),
    sort: text(raw.sort),
  });

export const accountingSearch = (raw: Raw) =>
  loose({
    source: text(raw.source),
    code: text(raw.code),
    q: text(raw.q),
    rejected: text(raw.rejected),
  });

export const rulesSearch = (raw: Raw) =>
  loose({
    pack: text(raw.pack),
    q: text(raw.q),
    kind: oneOf(raw.kind, RULE_KINDS),
    state: oneOf(raw.state, RULE_STATES),
    rule: text(raw.rule),
  });

export const adminSearch = (raw: Raw) => loose({ tab: oneOf(raw.tab, ["users", "tokens", "audit", "system"] as const) });
