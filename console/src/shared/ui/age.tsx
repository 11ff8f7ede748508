import { useTranslation } from "react-i18next";
import { coarse, formatInstant, useNow } from "~/shared/time/time";

/** How long ago something was, growing by itself; the exact instant is in its title. */
export function Age({ at, everyMs = 1000 }: { at: string | number | null | undefined; everyMs?: number }) {
  const { t, i18n } = useTranslation();
  const now = useNow(everyMs);
  if (at == null) return <span className="muted">–</span>;
  const instant = typeof at === "number" ? at : Date.parse(at);
  const [count, unit] = coarse(now - instant);
  return (
    <time className="num" dateTime={new Date(instant).toISOString()} title={formatInstant(instant, i18n.language, "full")}>
      {t(`age.${unit}`, { count })}
    </time>
  );
}

export function Instant({ at, kind = "short" }: { at: string | null | undefined; kind?: "time" | "short" | "full" }) {
  const { i18n } = useTranslation();
  if (!at) return <span className="muted">–</span>;
  return (
    <time className="num" dateTime={at} title={formatInstant(at, i18n.language, "full")}>
      {formatInstant(at, i18n.language, kind)}
    </time>
  );
}
