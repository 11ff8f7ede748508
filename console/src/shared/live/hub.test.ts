import { expect, test, vi } from "vitest";
import { currentSubscription, itemsOf, onLive, receive, wantEntities } from "./hub";
import { useLiveFacts } from "./store";

test("one object or several, both are heard of", () => {
  expect(itemsOf({ kind: "warning", item: { id: 1 } })).toEqual([{ id: 1 }]);
  expect(itemsOf({ kind: "warning", items: [{ id: 1 }, { id: 2 }] })).toHaveLength(2);
  expect(itemsOf({ kind: "heartbeat" })).toEqual([]);
});

test("a handler hears its own kind only", () => {
  const handler = vi.fn();
  const leave = onLive("command", handler);
  receive({ kind: "command", item: { id: "c1" } });
  receive({ kind: "warning", item: { id: "w1" } });
  leave();
  receive({ kind: "command", item: { id: "c2" } });
  expect(handler.mock.calls).toEqual([[{ id: "c1" }]]);
});

test("ages are told by the server's clock", () => {
  const ahead = new Date(Date.now() + 60_000).toISOString();
  receive({ kind: "heartbeat", at: ahead });
  expect(useLiveFacts.getState().clockOffset).toBeGreaterThan(55_000);
});

test("without permission nobody asks for entities", () => {
  const leave = wantEntities(null);
  expect(currentSubscription().entities).toBeUndefined();
  leave();
});
