import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Schemas } from "~/shared/api/client";
import { KEY } from "./keys";

export const commandsQuery = (filter: { device_id?: string; cause?: string; limit?: number }) =>
  queryOptions({
    queryKey: [KEY.commands, "list", filter],
    queryFn: () => answer(api.GET("/api/v1/commands", { params: { query: filter } })),
  });

export const commandQuery = (id: string) =>
  queryOptions({
    queryKey: [KEY.commands, "one", id],
    queryFn: () => answer(api.GET("/api/v1/commands/{command_id}", { params: { path: { command_id: id } } })),
  });

export function useSendCommand(deviceId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas["CommandNew"]) =>
      answer(api.POST("/api/v1/devices/{device_id}/commands", { params: { path: { device_id: deviceId } }, body })),
    onSuccess: () => void client.invalidateQueries({ queryKey: [KEY.commands] }),
  });
}

export function useCancelCommand() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      answer(api.POST("/api/v1/commands/{command_id}/cancel", { params: { path: { command_id: id } } })),
    onSuccess: () => void client.invalidateQueries({ queryKey: [KEY.commands] }),
  });
}
