import { infiniteQueryOptions, keepPreviousData } from "@tanstack/react-query";
import { answer, api } from "~/shared/api/client";

export const RULE_KINDS = ["threshold", "rate", "window", "absence", "geofence", "pattern", "derive"] as const;
export const RULE_STATES = ["active", "disabled", "quarantined"] as const;

export interface RuleFilter {
  pack?: string;
  q?: string;
  kind?: (typeof RULE_KINDS)[number];
  state?: (typeof RULE_STATES)[number];
}

const RULES_A_PAGE = 100;

/** Rules page by page; there may be a hundred thousand, so filters and search are the server's work. */
export const rulesQuery = (filter: RuleFilter) =>
  infiniteQueryOptions({
    queryKey: ["rules", "list", filter],
    queryFn: ({ pageParam }) =>
      answer(api.GET("/api/v1/rules", { params: { query: { ...filter, limit: RULES_A_PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
  });
