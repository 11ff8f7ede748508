import { expect, test } from "vitest";
import { createBackoff } from "./backoff";

test("waits double up to the longest", () => {
  const backoff = createBackoff(500, 8000, () => 1);
  const waits = [1, 2, 3, 4, 5, 6, 7].map(() => backoff.next());
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test("jitter never takes more than four tenths away", () => {
  expect(createBackoff(1000, 8000, () => 0).next()).toBe(600);
});

test("a reset starts over", () => {
  const backoff = createBackoff(500, 8000, () => 1);
  backoff.next();
  backoff.next();
  backoff.reset();
  expect(backoff.attempt()).toBe(0);
  expect(backoff.next()).toBe(500);
});
