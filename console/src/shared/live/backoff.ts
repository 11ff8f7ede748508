/** Waiting times between attempts to reconnect: they double from `first` to `longest`, with jitter against stampedes. */
export interface Backoff {
  next(): number;
  reset(): void;
  attempt(): number;
}

export function createBackoff(firstMs = 500, longestMs = 8000, random: () => number = Math.random): Backoff {
  let attempts = 0;
  return {
    next() {
      const ceiling = Math.min(longestMs, firstMs * 2 ** attempts);
      attempts += 1;
      return Math.round(ceiling * (0.6 + 0.4 * random()));
    },
    reset() {
      attempts = 0;
    },
    attempt: () => attempts,
  };
}
