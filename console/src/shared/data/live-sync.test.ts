import { QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import { receive } from "~/shared/live/hub";
import { replaceIn, syncWithLive } from "./live-sync";

test("an object takes the place of its older self in a page and in an endless list", () => {
  const page = { items: [{ id: "a", version: 1 }, { id: "b", version: 1 }], total: 2 };
  const newer = { id: "b", version: 2 };
  expect(replaceIn(page, newer)).toEqual({ items: [{ id: "a", version: 1 }, newer], total: 2 });
  expect(replaceIn({ pages: [page], pageParams: [null] }, newer)).toMatchObject({ pages: [{ items: [{ id: "a" }, newer] }] });
});

test("an older version, and an object that is not listed, change nothing", () => {
  const page = { items: [{ id: "a", version: 3 }] };
  expect(replaceIn(page, { id: "a", version: 2 })).toBe(page);
  expect(replaceIn(page, { id: "z", version: 9 })).toBe(page);
  expect(replaceIn(undefined, { id: "a" })).toBeUndefined();
});

test("a live warning changes what is on the page at once, and asks for the lists once", () => {
  vi.useFakeTimers();
  const client = new QueryClient();
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const heard = vi.fn();
  client.setQueryData(["warnings", "one", "w1"], { id: "w1", version: 1, severity: "blue" });
  const end = syncWithLive(client, heard);
  for (const version of [2, 3]) receive({ kind: "warning", item: { id: "w1", version, severity: "red" } });
  expect(client.getQueryData(["warnings", "one", "w1"])).toMatchObject({ version: 3, severity: "red" });
  expect(heard).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(2000);
  expect(invalidate).toHaveBeenCalledTimes(1);
  end();
  vi.useRealTimers();
});

test("a device that goes offline is shown so in every list", () => {
  const client = new QueryClient();
  const end = syncWithLive(client, () => undefined);
  client.setQueryData(["devices", "list", {}], { pages: [{ items: [{ id: "d1", online: true }, { id: "d2", online: true }] }] });
  receive({ kind: "device", items: [{ id: "d1", change: "disconnected", reason: "silence" }] });
  expect(client.getQueryData(["devices", "list", {}])).toMatchObject({
    pages: [{ items: [{ id: "d1", online: false }, { id: "d2", online: true }] }],
  });
  end();
});

test("a new device makes the lists be asked for again, one that only connects does not", () => {
  vi.useFakeTimers();
  const client = new QueryClient();
  const invalidate = vi.spyOn(client, "invalidateQueries");
  const end = syncWithLive(client, () => undefined);
  receive({ kind: "device", items: [{ id: "d1", change: "connected" }] });
  vi.advanceTimersByTime(2000);
  expect(invalidate).not.toHaveBeenCalledWith({ queryKey: ["devices", "list"] });
  receive({ kind: "device", items: [{ id: "d9", change: "created" }] });
  vi.advanceTimersByTime(2000);
  expect(invalidate).toHaveBeenCalledWith({ queryKey: ["devices", "list"] });
  end();
  vi.useRealTimers();
});

test("an object that nobody looked at is not kept", () => {
  const client = new QueryClient();
  const end = syncWithLive(client, () => undefined);
  receive({ kind: "command", item: { id: "c1" } });
  expect(client.getQueryData(["commands", "one", "c1"])).toBeUndefined();
  end();
});
