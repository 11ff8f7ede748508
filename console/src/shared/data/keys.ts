import type { Schemas } from "~/shared/api/client";

export type WarningView = Schemas["WarningView"];
export type IncidentView = Schemas["IncidentView"];
export type DeviceView = Schemas["DeviceView"];
export type CommandView = Schemas["CommandView"];

/** First words of the query keys; the live stream mends what stands under them. */
export const KEY = {
  warnings: "warnings",
  incidents: "incidents",
  timeline: "timeline",
  devices: "devices",
  commands: "commands",
  accounting: "accounting",
  rejected: "rejected",
  entities: "entities",
} as const;
