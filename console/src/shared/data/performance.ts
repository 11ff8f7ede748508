import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answer, api, type Schemas } from "~/shared/api/client";

export type PerformanceView = Schemas["PerformanceView"];

/** How the platform itself fares; looked at every five seconds, as often as the server counts. */
export const performanceQuery = queryOptions({
  queryKey: ["performance"],
  queryFn: () => answer(api.GET("/api/v1/performance")),
  refetchInterval: 5000,
  placeholderData: keepPreviousData,
});
