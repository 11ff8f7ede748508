import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { historyQuery } from "~/shared/data/entities";
import { unitSign, useWords } from "~/shared/data/vocabulary";
import { useTheme } from "~/shared/theme/theme";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";

const TimeChart = lazy(() => import("./time-chart"));

interface SeriesChartProps {
  entityId: string;
  entityType: string;
  property: string;
  last: string;
  /** The newest live value, which may be ahead of what was fetched. */
  newest?: { at: number; value: number } | null;
  height?: number;
}

/** The recent past of one property, kept up to date. */
export function SeriesChart({ entityId, entityType, property, last, newest, height = 180 }: SeriesChartProps) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const theme = useTheme((state) => state.theme);
  const { data, error, isPending, refetch } = useQuery(historyQuery(entityId, property, last));
  // Live values since the last fetch; fetched points overtake them as they come.
  const since = useRef<{ series: string; points: [number, number][] }>({ series: "", points: [] });
  const points = useMemo(() => {
    const series = `${entityId} ${property}`;
    if (since.current.series !== series) since.current = { series, points: [] };
    const read: [number, number][] = [];
    for (const point of data?.points ?? []) {
      const value = typeof point.value === "boolean" ? Number(point.value) : point.value;
      if (typeof value === "number") read.push([Date.parse(point.time), value]);
    }
    const fetchedTo = read.at(-1)?.[0] ?? 0;
    const live = since.current.points.filter(([at]) => at > fetchedTo);
    if (newest && newest.at > (live.at(-1)?.[0] ?? fetchedTo)) live.push([newest.at, newest.value]);
    since.current.points = live.slice(-600);
    return [...read, ...live];
  }, [data, newest, entityId, property]);

  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  if (points.length === 0) return <EmptyState title={t("chart.empty")} />;
  const label = words.propertyLabel(entityType, property);
  const unit = unitSign(data.unit ?? words.property(entityType, property)?.unit);
  const values = points.map((point) => point[1]);
  const summary = t("chart.summary", {
    label,
    count: points.length,
    min: Math.min(...values.slice(-5000)),
    max: Math.max(...values.slice(-5000)),
    last: values.at(-1),
    unit,
  });
  return (
    <Suspense fallback={<div style={{ height }} />}>
      <TimeChart points={points} unit={unit} label={summary} theme={theme} language={i18n.language} height={height} />
    </Suspense>
  );
}
