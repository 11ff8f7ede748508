import { queryOptions } from "@tanstack/react-query";
import { fetchRaw } from "~/shared/api/client";

const EMPTY: GeoJSON.FeatureCollection = { type: "FeatureCollection", features: [] };

/** The base city as GeoJSON; an empty one where the server has none. It does not change while the page is open. */
export const baseMapQuery = queryOptions({
  queryKey: ["map", "base"],
  queryFn: async ({ signal }): Promise<GeoJSON.FeatureCollection> => {
    const response = await fetchRaw("/api/v1/map/base", { signal });
    return response.status === 204 ? EMPTY : ((await response.json()) as GeoJSON.FeatureCollection);
  },
  staleTime: Number.POSITIVE_INFINITY,
});
