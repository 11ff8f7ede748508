import { LiveConnection, type LiveMessage, type Subscription } from "./connection";
import { entityStore, type EntityUpdate } from "./entities";
import { useLiveFacts } from "./store";

type Handler = (item: Record<string, unknown>) => void;

interface HubOptions {
  stillSignedIn: () => Promise<boolean>;
  onResync: () => void;
  onRefused: () => void;
}

/** Kinds of messages that carry whole objects: `{"kind": "warning", "item": {…}}` or `{"items": […]}`. */
export type ObjectKind = "warning" | "incident" | "command" | "device" | "accounting";

const handlers = new Map<string, Set<Handler>>();
const entityInterests = new Map<symbol, string[] | null>();
let granted: Subscription = {};
let connection: LiveConnection | null = null;

/** Open the live stream; `allowed` is what this person may see at all. */
export function startLive(allowed: Subscription, options: HubOptions): () => void {
  granted = allowed;
  const facts = useLiveFacts.getState();
  connection = new LiveConnection({
    open: () => new WebSocket(liveAddress()) as never,
    subscription: currentSubscription,
    onMessage: receive,
    onState: (state, attempt) => {
      const { lostAt } = useLiveFacts.getState();
      facts.set({ state, attempt, lostAt: state === "live" ? null : state === "lost" ? (lostAt ?? Date.now()) : lostAt });
      if (state === "refused") options.onRefused();
    },
    onResync: options.onResync,
    stillSignedIn: options.stillSignedIn,
  });
  const offline = () => connection?.suspect();
  const online = () => connection?.retryNow();
  const visible = () => {
    if (document.visibilityState === "visible") connection?.retryNow();
  };
  globalThis.addEventListener("offline", offline);
  globalThis.addEventListener("online", online);
  document.addEventListener("visibilitychange", visible);
  connection.start();
  return () => {
    globalThis.removeEventListener("offline", offline);
    globalThis.removeEventListener("online", online);
    document.removeEventListener("visibilitychange", visible);
    connection?.stop();
    connection = null;
  };
}

export function reconnectNow(): void {
  connection?.retryNow();
}

/** Hear of every object of a kind; the returned function ends it. */
export function onLive(kind: ObjectKind, handler: Handler): () => void {
  const group = handlers.get(kind) ?? new Set();
  group.add(handler);
  handlers.set(kind, group);
  return () => group.delete(handler);
}

/** Ask for live entities of these types (null: all) for as long as the returned function is not called. */
export function wantEntities(types: string[] | null): () => void {
  const key = Symbol("interest");
  entityInterests.set(key, types);
  connection?.subscribe();
  return () => {
    entityInterests.delete(key);
    connection?.subscribe();
  };
}

export function currentSubscription(): Subscription {
  const subscription: Subscription = { ...granted };
  delete subscription.entities;
  if (granted.entities && entityInterests.size > 0) {
    const wishes = [...entityInterests.values()];
    subscription.entities = wishes.some((types) => types === null) ? {} : { types: [...new Set(wishes.flatMap((types) => types ?? []))] };
  }
  return subscription;
}

export function receive(message: LiveMessage): void {
  const { set, frames, messages } = useLiveFacts.getState();
  const now = Date.now();
  const at = message.at ? Date.parse(message.at) : Number.NaN;
  const clock = Number.isNaN(at) ? {} : { clockOffset: at - now };
  const isFrame = message.kind === "entities";
  set({ lastMessageAt: now, messages: messages + 1, frames: frames + (isFrame ? 1 : 0), ...clock });
  if (isFrame) {
    entityStore.apply((message.items ?? []) as EntityUpdate[], now);
    return;
  }
  for (const item of itemsOf(message)) for (const handler of handlers.get(message.kind) ?? []) handler(item);
}

export function itemsOf(message: LiveMessage): Record<string, unknown>[] {
  if (Array.isArray(message.items)) return message.items as Record<string, unknown>[];
  const single = message.item ?? message[message.kind];
  return single !== null && typeof single === "object" ? [single as Record<string, unknown>] : [];
}

function liveAddress(): string {
  const { protocol, host } = globalThis.location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/api/v1/live`;
}
