import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answer, api } from "~/shared/api/client";
import { type DeviceView, KEY } from "./keys";

/** A device's name in the reader's language, where it has one (label `name_en`, `name_zh`). */
export function deviceName(device: Pick<DeviceView, "name" | "labels">, language: string): string {
  return device.labels[`name_${language.slice(0, 2)}`] || device.name;
}

export interface DeviceFilter {
  q?: string;
  kind?: string;
  adapter?: string;
  department?: string;
  gateway_id?: string;
  online?: "online" | "offline" | "never";
  sort?: string;
}

export const DEVICES_A_PAGE = 100;

/** Devices page by page, as far as somebody scrolls; filters, search and order are the server's work. */
export const devicesQuery = (filter: DeviceFilter) =>
  infiniteQueryOptions({
    queryKey: [KEY.devices, "list", filter],
    queryFn: ({ pageParam }) =>
      answer(api.GET("/api/v1/devices", { params: { query: { ...filter, limit: DEVICES_A_PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: keepPreviousData,
  });

export const deviceQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.devices, "one", id],
    queryFn: () => answer(api.GET("/api/v1/devices/{device_id}", { params: { path: { device_id: id } } })),
  });

export const devicesOfEntityQuery = (entityId: string) =>
  queryOptions({
    queryKey: [KEY.devices, "entity", entityId],
    queryFn: () => answer(api.GET("/api/v1/devices", { params: { query: { entity_id: entityId, limit: 20 } } })),
    staleTime: 60_000,
  });

export const deviceSearchQuery = (q: string, limit: number) =>
  queryOptions({
    queryKey: [KEY.devices, "search", q, limit],
    queryFn: () => answer(api.GET("/api/v1/devices", { params: { query: { q, limit } } })),
    enabled: q.length > 0,
    staleTime: 30_000,
  });

export const devicesSummaryQuery = queryOptions({
  queryKey: [KEY.devices, "summary"],
  queryFn: () => answer(api.GET("/api/v1/devices/summary")),
  refetchInterval: 15_000,
});
