import type { QueryClient, QueryKey } from "@tanstack/react-query";
import { onLive } from "~/shared/live/hub";
import { serverNow } from "~/shared/live/store";
import { type CommandView, type DeviceView, type IncidentView, KEY, type WarningView } from "./keys";

interface Listed {
  items: { id: string }[];
}

/** How long list changes are gathered before the lists are asked for again. */
const GATHER_MS = 1200;

/**
 * Keeps what Query has fetched in step with the live stream: an object that is on the page changes at once; lists are
 * fetched again, at most about once a second, because only the server knows what a filter lets through.
 */
export function syncWithLive(client: QueryClient, onWarning: (warning: WarningView) => void): () => void {
  const later = gather(client);
  const ends = [
    onLive("warning", (item) => {
      const warning = item as unknown as WarningView;
      onWarning(warning);
      patch(client, [KEY.warnings, "one", warning.id], [KEY.warnings, "list"], warning);
      later([KEY.warnings, "list"]);
    }),
    onLive("incident", (item) => {
      const incident = item as unknown as IncidentView;
      patch(client, [KEY.incidents, "one", incident.id], [KEY.incidents, "list"], incident);
      later([KEY.incidents, "list"]);
      later([KEY.timeline, incident.id]);
    }),
    onLive("command", (item) => {
      const command = item as unknown as CommandView;
      patch(client, [KEY.commands, "one", command.id], [KEY.commands, "list"], command);
      later([KEY.commands, "list"]);
      later([KEY.timeline]);
    }),
    onLive("device", (item) => {
      const { id, change } = item as { id: string; change?: string };
      if (change === "connected" || change === "disconnected") markOnline(client, id, change === "connected");
      else {
        later([KEY.devices, "one", id]);
        later([KEY.devices, "list"]);
      }
      later([KEY.devices, "summary"]);
    }),
    onLive("accounting", (item) => {
      if (Array.isArray(item.accounts)) client.setQueryData([KEY.accounting], item);
      else later([KEY.accounting]);
    }),
  ];
  return () => {
    for (const end of ends) end();
    later.stop();
  };
}

function patch(client: QueryClient, one: QueryKey, lists: QueryKey, object: { id: string; version?: number }): void {
  client.setQueryData<{ version?: number }>(one, (old) => {
    if (!old) return undefined;
    return (old.version ?? 0) > (object.version ?? 0) ? old : object;
  });
  client.setQueriesData<unknown>({ queryKey: lists }, (old: unknown) => replaceIn(old, object));
}

/** A device came or went: only that is known, and only that is changed on the page. */
function markOnline(client: QueryClient, id: string, online: boolean): void {
  const mark = (device: DeviceView): DeviceView => ({
    ...device,
    online,
    last_seen_at: online ? new Date(serverNow()).toISOString() : (device.last_seen_at ?? null),
  });
  client.setQueryData<DeviceView>([KEY.devices, "one", id], (old) => old && mark(old));
  client.setQueriesData<{ pages: { items: DeviceView[] }[] }>({ queryKey: [KEY.devices, "list"] }, (old) => {
    if (!old?.pages.some((page) => page.items.some((device) => device.id === id))) return old;
    const pages = old.pages.map((page) => ({ ...page, items: page.items.map((one) => (one.id === id ? mark(one) : one)) }));
    return { ...old, pages };
  });
}

/** Put a newer object in the place of the older one in a page, or in the pages of an endless list. */
export function replaceIn(data: unknown, object: { id: string; version?: number }): unknown {
  if (data === null || typeof data !== "object") return data;
  if ("pages" in data && Array.isArray(data.pages)) {
    const pages = data.pages.map((page) => replaceIn(page, object));
    return pages.some((page, index) => page !== (data.pages as unknown[])[index]) ? { ...data, pages } : data;
  }
  if (!("items" in data) || !Array.isArray(data.items)) return data;
  const listed = data as Listed & { items: { id: string; version?: number }[] };
  const index = listed.items.findIndex((item) => item.id === object.id);
  const old = listed.items[index];
  if (!old || (old.version ?? 0) > (object.version ?? 0)) return data;
  return { ...listed, items: listed.items.with(index, object) };
}

interface Later {
  (key: QueryKey): void;
  stop: () => void;
}

function gather(client: QueryClient): Later {
  const waiting = new Map<string, QueryKey>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const later = (key: QueryKey) => {
    waiting.set(JSON.stringify(key), key);
    timer ??= setTimeout(() => {
      timer = undefined;
      for (const queryKey of waiting.values()) void client.invalidateQueries({ queryKey });
      waiting.clear();
    }, GATHER_MS);
  };
  later.stop = () => clearTimeout(timer);
  return later;
}
