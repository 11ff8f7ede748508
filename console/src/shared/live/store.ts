import { create } from "zustand";
import type { LiveState } from "./connection";

/** Live facts that React shows, changed at most a few times a second. Point positions never come through here. */
export interface LiveFacts {
  state: LiveState;
  attempt: number;
  lostAt: number | null;
  lastMessageAt: number | null;
  /** Server clock minus this machine's clock, ms: ages are told by the server's clock. */
  clockOffset: number;
  frames: number;
  messages: number;
  set: (facts: Partial<LiveFacts>) => void;
}

export const useLiveFacts = create<LiveFacts>((set) => ({
  state: "connecting",
  attempt: 0,
  lostAt: null,
  lastMessageAt: null,
  clockOffset: 0,
  frames: 0,
  messages: 0,
  set: (facts) => set(facts),
}));

/** The server's clock, ms since the epoch, as well as this client knows it. */
export function serverNow(): number {
  return Date.now() + useLiveFacts.getState().clockOffset;
}
