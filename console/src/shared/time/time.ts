import { useEffect, useState } from "react";
import { serverNow } from "~/shared/live/store";

const formats = new Map<string, Intl.DateTimeFormat>();

function format(language: string, kind: "time" | "short" | "full"): Intl.DateTimeFormat {
  const key = `${language}-${kind}`;
  let known = formats.get(key);
  if (!known) {
    const locale = language.startsWith("zh") ? "zh-CN" : "en-GB";
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
    const day = { month: "2-digit", day: "2-digit" } as const;
    const fields = {
      time: clock,
      short: { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const,
      full: { year: "numeric", ...day, ...clock, timeZoneName: "short" } as const,
    }[kind];
    known = new Intl.DateTimeFormat(locale, fields);
    formats.set(key, known);
  }
  return known;
}

/** An instant for reading; `time` today, `short` with the day, `full` with year and zone. */
export function formatInstant(
  instant: string | number | null | undefined,
  language: string,
  kind: "time" | "short" | "full" = "short",
): string {
  if (instant == null) return "–";
  const date = new Date(instant);
  return Number.isNaN(date.getTime()) ? "–" : format(language, kind).format(date);
}

/** A span as a number and its unit, coarse on purpose: `[3, "minutes"]`. */
export function coarse(ms: number): [number, "seconds" | "minutes" | "hours" | "days"] {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return [seconds, "seconds"];
  if (seconds < 3600) return [Math.floor(seconds / 60), "minutes"];
  if (seconds < 86_400) return [Math.floor(seconds / 3600), "hours"];
  return [Math.floor(seconds / 86_400), "days"];
}

/** The server's time, renewed every `everyMs`, so that ages on the page grow by themselves. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
