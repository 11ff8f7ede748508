import { queryOptions } from "@tanstack/react-query";
import { answer, api, ApiProblem, type Schemas } from "~/shared/api/client";

/** Whether the server takes readings; a 503 is an answer here, not an error. */
export const readinessQuery = queryOptions({
  queryKey: ["health"],
  queryFn: async ({ signal }): Promise<Schemas["Health"]> => {
    let response: Response;
    try {
      response = await fetch("/api/v1/health/ready", { signal });
    } catch {
      throw new ApiProblem(0, null);
    }
    return (await response.json()) as Schemas["Health"];
  },
  refetchInterval: 15_000,
  retry: false,
});

export const systemQuery = queryOptions({
  queryKey: ["system"],
  queryFn: () => answer(api.GET("/api/v1/system")),
  refetchInterval: 5000,
});
