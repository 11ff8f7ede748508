import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Schemas } from "~/shared/api/client";
import type { Severity } from "~/shared/ui/severity";
import { type IncidentView, KEY } from "./keys";

export interface IncidentFilter {
  state?: IncidentView["state"];
  severity?: Severity[];
  overdue?: boolean;
  q?: string;
  limit?: number;
  cursor?: string;
}

export const incidentsQuery = (filter: IncidentFilter) =>
  queryOptions({
    queryKey: [KEY.incidents, "list", filter],
    queryFn: () => answer(api.GET("/api/v1/incidents", { params: { query: filter } })),
    placeholderData: keepPreviousData,
  });

export const incidentQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.incidents, "one", id],
    queryFn: () => answer(api.GET("/api/v1/incidents/{incident_id}", { params: { path: { incident_id: id } } })),
  });

export const timelineQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.timeline, id],
    queryFn: () =>
      answer(api.GET("/api/v1/incidents/{incident_id}/timeline", { params: { path: { incident_id: id }, query: { limit: 1000 } } })),
  });

type Step =
  | { kind: "dispatch"; body: Schemas["DispatchEntry"] }
  | { kind: "task"; body: Schemas["TaskNew"] }
  | { kind: "taskChange"; taskId: string; body: Schemas["TaskChange"] }
  | { kind: "note"; body: Schemas["NoteNew"] }
  | { kind: "close"; body: Schemas["CloseEntry"] }
  | { kind: "reopen"; body: Schemas["ReopenEntry"] };

async function take(id: string, step: Step): Promise<IncidentView | null> {
  const path = { incident_id: id };
  switch (step.kind) {
    case "dispatch":
      return answer(api.POST("/api/v1/incidents/{incident_id}/dispatch", { params: { path }, body: step.body }));
    case "task":
      return answer(api.POST("/api/v1/incidents/{incident_id}/tasks", { params: { path }, body: step.body }));
    case "taskChange":
      return answer(
        api.PATCH("/api/v1/incidents/{incident_id}/tasks/{task_id}", {
          params: { path: { ...path, task_id: step.taskId } },
          body: step.body,
        }),
      );
    case "note":
      await answer(api.POST("/api/v1/incidents/{incident_id}/notes", { params: { path }, body: step.body }));
      return null;
    case "close":
      return answer(api.POST("/api/v1/incidents/{incident_id}/close", { params: { path }, body: step.body }));
    case "reopen":
      return answer(api.POST("/api/v1/incidents/{incident_id}/reopen", { params: { path }, body: step.body }));
  }
}

/** Take one step in an incident; its page shows the outcome at once. */
export function useIncidentStep(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (step: Step) => take(id, step),
    onSuccess: (incident) => {
      if (incident) client.setQueryData([KEY.incidents, "one", id], incident);
      void client.invalidateQueries({ queryKey: [KEY.incidents, "list"] });
      void client.invalidateQueries({ queryKey: [KEY.timeline, id] });
    },
  });
}

export function useOpenIncident() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas["IncidentNew"]) => answer(api.POST("/api/v1/incidents", { body })),
    onSuccess: () => void client.invalidateQueries({ queryKey: [KEY.incidents] }),
  });
}
