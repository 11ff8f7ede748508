import { LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, TooltipComponent } from "echarts/components";
import { type ECharts, init, use as useParts } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "react";
import type { Theme } from "~/shared/theme/theme";

useParts([LineChart, GridComponent, TooltipComponent, AriaComponent, CanvasRenderer]);

export interface TimeChartProps {
  points: [number, number][];
  unit: string;
  label: string;
  theme: Theme;
  language: string;
  height?: number;
  /** Draws a line at a level, for instance a rule's threshold. */
  step?: boolean;
}

const FONT = "'Noto Sans SC Variable', sans-serif";

/** On so short an axis minutes alone would repeat themselves. */
const SECONDS_BELOW_MS = 8 * 60_000;

/** One series over time. What it shows is also told in words, for those who don't see it. */
export default function TimeChart({ points, unit, label, theme, language, height = 180, step = false }: TimeChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts | null>(null);

  useEffect(() => {
    if (!holder.current) return;
    const made = init(holder.current, null, { renderer: "canvas" });
    chart.current = made;
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(holder.current);
    return () => {
      watch.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const ink = (name: string) => style.getPropertyValue(name).trim();
    const accent = ink("--accent");
    const locale = language.startsWith("zh") ? "zh-CN" : "en-GB";
    const span = (points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0);
    const seconds = span < SECONDS_BELOW_MS ? ({ second: "2-digit" } as const) : {};
    const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", ...seconds, hourCycle: "h23" });
    const exact = new Intl.DateTimeFormat(locale, {
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
    });
    chart.current?.setOption(
      {
        animation: false,
        aria: { enabled: true, label: { description: label } },
        textStyle: { fontFamily: FONT },
        grid: { left: 8, right: 14, top: 24, bottom: 4, containLabel: true },
        tooltip: {
          trigger: "axis",
          backgroundColor: ink("--surface-3"),
          borderColor: ink("--line"),
          textStyle: { color: ink("--text"), fontSize: 12, fontFamily: FONT },
          formatter: (shown: unknown) => {
            const first = (Array.isArray(shown) ? shown[0] : shown) as { value: [number, number] };
            return `${exact.format(first.value[0])}<br><b>${first.value[1].toLocaleString(locale)}</b> ${escapeHtml(unit)}`;
          },
        },
        xAxis: {
          type: "time",
          axisLine: { lineStyle: { color: ink("--line") } },
          axisLabel: { color: ink("--text-3"), hideOverlap: true, formatter: (at: number) => clock.format(at) },
          splitNumber: 4,
        },
        yAxis: {
          type: "value",
          scale: true,
          name: unit,
          nameTextStyle: { color: ink("--text-3"), align: "left", fontSize: 11 },
          nameGap: 9,
          axisLabel: { color: ink("--text-3") },
          splitLine: { lineStyle: { color: ink("--line-soft") } },
          splitNumber: 3,
        },
        series: [
          {
            type: "line",
            data: points,
            step: step ? "end" : false,
            showSymbol: points.length < 2,
            sampling: "lttb",
            lineStyle: { color: accent, width: 1.8 },
            itemStyle: { color: accent },
            areaStyle: { color: accent, opacity: 0.12 },
          },
        ],
      },
      { notMerge: true },
    );
  }, [points, unit, label, theme, language, step]);

  return <div ref={holder} role="img" aria-label={label} style={{ height, width: "100%" }} />;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
