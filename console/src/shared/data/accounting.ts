import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Schemas } from "~/shared/api/client";
import { KEY } from "./keys";

export type AccountView = Schemas["AccountView"];

export const accountingQuery = queryOptions({
  queryKey: [KEY.accounting],
  queryFn: () => answer(api.GET("/api/v1/accounting")),
  refetchInterval: 10_000,
});

/** What is missing in an account: zero when received = stored + rejected + dropped. */
export function gapOf(account: Pick<AccountView, "received" | "stored" | "rejected" | "dropped">): number {
  return account.received - account.stored - account.rejected - account.dropped;
}

export interface RejectedFilter {
  source?: string;
  code?: string;
  q?: string;
  limit?: number;
  cursor?: string;
}

export const rejectedQuery = (filter: RejectedFilter) =>
  queryOptions({
    queryKey: [KEY.rejected, "list", filter],
    queryFn: () => answer(api.GET("/api/v1/rejected", { params: { query: filter } })),
    placeholderData: keepPreviousData,
    refetchInterval: 10_000,
  });

export const rejectedDetailQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.rejected, "one", id],
    queryFn: () => answer(api.GET("/api/v1/rejected/{reject_id}", { params: { path: { reject_id: id } } })),
  });

export function useReplay() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas["ReplayEntry"]) => answer(api.POST("/api/v1/rejected/replay", { body })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [KEY.rejected] });
      void client.invalidateQueries({ queryKey: [KEY.accounting] });
    },
  });
}
