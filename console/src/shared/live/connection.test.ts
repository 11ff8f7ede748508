import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createBackoff } from "./backoff";
import { LiveConnection, type LiveState, SILENCE_MS, type SocketLike } from "./connection";

class FakeSocket implements SocketLike {
  readyState = 0;
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  sent: string[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.closed = true;
  }
  open() {
    this.readyState = 1;
    this.onopen?.({});
  }
  beat(at = "2026-01-01T00:00:00Z") {
    this.onmessage?.({ data: JSON.stringify({ kind: "heartbeat", at }) });
  }
}

function setup(signedIn = true) {
  const sockets: FakeSocket[] = [];
  const states: LiveState[] = [];
  const resyncs: number[] = [];
  const messages: string[] = [];
  const connection = new LiveConnection({
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    subscription: () => ({ warnings: true }),
    onMessage: (message) => messages.push(message.kind),
    onState: (state) => states.push(state),
    onResync: () => resyncs.push(1),
    stillSignedIn: async () => signedIn,
    backoff: createBackoff(500, 8000, () => 1),
  });
  return { connection, sockets, states, resyncs, messages };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("subscribes when open and is live from the first message on", () => {
  const { connection, sockets, states, messages } = setup();
  connection.start();
  sockets[0]!.open();
  expect(sockets[0]!.sent).toEqual([JSON.stringify({ subscribe: { warnings: true } })]);
  expect(states.at(-1)).toBe("connecting");
  sockets[0]!.beat();
  expect(states.at(-1)).toBe("live");
  expect(messages).toEqual(["heartbeat"]);
});

test("ten silent seconds count as lost, and the next socket resynchronises", async () => {
  const { connection, sockets, states, resyncs } = setup();
  connection.start();
  sockets[0]!.open();
  sockets[0]!.beat();
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  expect(states.at(-1)).toBe("live");
  await vi.advanceTimersByTimeAsync(1);
  expect(states.at(-1)).toBe("lost");
  expect(sockets[0]!.closed).toBe(true);
  await vi.advanceTimersByTimeAsync(500);
  expect(sockets).toHaveLength(2);
  expect(resyncs).toHaveLength(0);
  sockets[1]!.open();
  sockets[1]!.beat();
  expect(states.at(-1)).toBe("live");
  expect(resyncs).toHaveLength(1);
});

test("a beat keeps the connection", async () => {
  const { connection, sockets, states } = setup();
  connection.start();
  sockets[0]!.open();
  for (const _ of [1, 2, 3, 4]) {
    sockets[0]!.beat();
    await vi.advanceTimersByTimeAsync(SILENCE_MS - 100);
  }
  expect(states.at(-1)).toBe("live");
});

test("an ended session stops the attempts", async () => {
  const { connection, sockets, states } = setup(false);
  connection.start();
  sockets[0]!.onclose?.({ code: 4401 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(states.at(-1)).toBe("refused");
  expect(sockets).toHaveLength(1);
});

test("garbage from the server is not taken for life", () => {
  const { connection, sockets, states } = setup();
  connection.start();
  sockets[0]!.open();
  sockets[0]!.onmessage?.({ data: "{not json" });
  expect(states).not.toContain("live");
});

test("a stopped connection stays stopped", async () => {
  const { connection, sockets } = setup();
  connection.start();
  connection.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(sockets).toHaveLength(1);
});
