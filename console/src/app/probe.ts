import type { QueryClient } from "@tanstack/react-query";
import { entityStore } from "~/shared/live/entities";
import { useLiveFacts } from "~/shared/live/store";
import { kept } from "~/shared/ui/kept";

declare global {
  interface Window {
    __gulou?: Record<string, unknown>;
  }
}

/** Counters for tests and support, only when asked for by `?probe=1` or by the browser's `gulou.probe` setting. */
export function exposeProbe(client: QueryClient): void {
  const asked = new URLSearchParams(window.location.search).get("probe") === "1" || kept("gulou.probe") === "1";
  if (!asked) return;
  window.__gulou = {
    ...window.__gulou,
    live: () => {
      const { state, frames, messages, attempt, clockOffset, lastMessageAt } = useLiveFacts.getState();
      return { state, frames, messages, attempt, clockOffset, lastMessageAt, entities: entityStore.size };
    },
    entities: entityStore,
    client,
  };
}
