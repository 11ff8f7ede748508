/** A value older than this is marked as stale, unless its device says otherwise. */
export const STALE_MS = 15 * 60_000;
