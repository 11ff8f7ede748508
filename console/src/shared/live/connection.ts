import { type Backoff, createBackoff } from "./backoff";

/** Silence after which a socket counts as dead: twice the server's heartbeat of 5 s. */
export const SILENCE_MS = 10_000;

export type LiveState = "connecting" | "live" | "lost" | "refused";

export interface Subscription {
  entities?: { types?: string[]; bbox?: number[] };
  warnings?: boolean;
  incidents?: boolean | string[];
  commands?: boolean;
  devices?: boolean;
  accounting?: boolean;
}

export interface LiveMessage {
  kind: string;
  at?: string;
  [field: string]: unknown;
}

export interface SocketLike {
  readyState: number;
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface LiveOptions {
  open: () => SocketLike;
  subscription: () => Subscription;
  onMessage: (message: LiveMessage) => void;
  onState: (state: LiveState, attempt: number) => void;
  /** Called when the connection is back after a loss: what was missed must be asked for again. */
  onResync: () => void;
  /** Says whether the session still stands; asked before each further attempt. */
  stillSignedIn: () => Promise<boolean>;
  backoff?: Backoff;
}

/**
 * The only socket of the console. A half-open connection (sleep, changed network) sends no close event, so silence
 * counts: the server beats every 5 s, and after 10 s without a word the socket is given up and opened anew.
 */
export class LiveConnection {
  private socket: SocketLike | null = null;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private wasLive = false;
  private stopped = true;
  private readonly backoff: Backoff;

  constructor(private readonly options: LiveOptions) {
    this.backoff = options.backoff ?? createBackoff();
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.retry);
    this.drop();
    this.wasLive = false;
  }

  /** Tell the server what this client looks at now. */
  subscribe(): void {
    if (this.socket?.readyState === 1) {
      this.socket.send(JSON.stringify({ subscribe: this.options.subscription() }));
    }
  }

  /** Try at once instead of waiting for the back-off to run out (the network is said to be back, or a person asks). */
  retryNow(): void {
    if (this.stopped || this.socket) return;
    clearTimeout(this.retry);
    this.backoff.reset();
    this.connect();
  }

  /** Give the present socket up, for instance when the browser says that it is offline. */
  suspect(): void {
    if (!this.stopped && this.socket) this.lose();
  }

  private connect(): void {
    this.options.onState(this.wasLive ? "lost" : "connecting", this.backoff.attempt());
    let socket: SocketLike;
    try {
      socket = this.options.open();
    } catch {
      this.later();
      return;
    }
    this.socket = socket;
    this.listenForSilence();
    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.subscribe();
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.listenForSilence();
      this.receive(event.data);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lose();
    };
    socket.onerror = () => undefined;
  }

  private receive(data: unknown): void {
    if (typeof data !== "string") return;
    let message: LiveMessage;
    try {
      message = JSON.parse(data) as LiveMessage;
    } catch {
      return;
    }
    this.arrived();
    this.options.onMessage(message);
  }

  private live = false;

  private arrived(): void {
    if (this.live) return;
    this.live = true;
    const again = this.wasLive;
    this.wasLive = true;
    this.backoff.reset();
    this.options.onState("live", 0);
    if (again) this.options.onResync();
  }

  private listenForSilence(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose(), SILENCE_MS);
  }

  private lose(): void {
    this.drop();
    if (!this.stopped) this.later();
  }

  private drop(): void {
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    this.live = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    try {
      socket.close();
    } catch {
      // Closing a socket that never opened throws in some browsers; it is gone either way.
    }
  }

  private later(): void {
    const wait = this.backoff.next();
    this.options.onState("lost", this.backoff.attempt());
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.again(), wait);
  }

  private async again(): Promise<void> {
    const signedIn = await this.options.stillSignedIn();
    if (this.stopped || this.socket) return;
    if (signedIn) {
      this.connect();
    } else {
      this.stopped = true;
      this.options.onState("refused", 0);
    }
  }
}
