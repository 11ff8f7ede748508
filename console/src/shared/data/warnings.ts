import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api } from "~/shared/api/client";
import type { Severity } from "~/shared/ui/severity";
import { takeWarning } from "./active-warnings";
import { KEY, type WarningView } from "./keys";

export interface WarningFilter {
  state?: "active" | "cleared";
  acknowledged?: boolean;
  severity?: Severity[];
  q?: string;
  entity_id?: string;
  limit?: number;
  cursor?: string;
}

export const warningsQuery = (filter: WarningFilter) =>
  queryOptions({
    queryKey: [KEY.warnings, "list", filter],
    queryFn: () => answer(api.GET("/api/v1/warnings", { params: { query: filter } })),
    placeholderData: keepPreviousData,
  });

export const warningQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.warnings, "one", id],
    queryFn: () => answer(api.GET("/api/v1/warnings/{warning_id}", { params: { path: { warning_id: id } } })),
  });

type Decision =
  | { kind: "acknowledge"; id: string; note?: string }
  | { kind: "clear"; id: string; note?: string }
  | { kind: "approve" | "decline"; id: string; n: number; note?: string };

function decide(decision: Decision): Promise<WarningView> {
  const body = { note: decision.note || null };
  const path = { warning_id: decision.id };
  switch (decision.kind) {
    case "acknowledge":
      return answer(api.POST("/api/v1/warnings/{warning_id}/acknowledge", { params: { path }, body }));
    case "clear":
      return answer(api.POST("/api/v1/warnings/{warning_id}/clear", { params: { path }, body }));
    case "approve":
      return answer(
        api.POST("/api/v1/warnings/{warning_id}/actions/{n}/approve", { params: { path: { ...path, n: decision.n } }, body }),
      );
    case "decline":
      return answer(
        api.POST("/api/v1/warnings/{warning_id}/actions/{n}/decline", { params: { path: { ...path, n: decision.n } }, body }),
      );
  }
}

/** Acknowledge, clear, approve or decline; the answer is shown without waiting for the live stream. */
export function useWarningDecision() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: decide,
    onSuccess: (warning) => {
      takeWarning(warning);
      client.setQueryData([KEY.warnings, "one", warning.id], warning);
      void client.invalidateQueries({ queryKey: [KEY.warnings, "list"] });
      void client.invalidateQueries({ queryKey: [KEY.commands] });
    },
  });
}

export function useOpenIncidentFrom() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, note }: { id: string; note?: string }) =>
      answer(
        api.POST("/api/v1/warnings/{warning_id}/open-incident", {
          params: { path: { warning_id: id } },
          body: { note: note || null },
        }),
      ),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [KEY.warnings] });
      void client.invalidateQueries({ queryKey: [KEY.incidents] });
    },
  });
}
