import "./performance.css";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Table, type TableProps } from "antd";
import { lazy, type ReactNode, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { type PerformanceView, performanceQuery } from "~/shared/data/performance";
import { useTheme } from "~/shared/theme/theme";
import { Age } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";
import { bars, bytes, milliseconds, rate } from "./figures";

const TimeChart = lazy(() => import("~/shared/charts/time-chart"));
const CHART_HEIGHT = 150;

/** How the platform itself fares: rates, latencies, queues, lag, disk, the dearest rules and the loudest devices. */
export function PerformancePage() {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(performanceQuery);
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  const last = data.samples.at(-1);
  // Of the last minute, not of the last moment, in which often nothing came.
  const busiest = data.latencies.toSorted((one, other) => other.count - one.count).at(0);
  return (
    <div className="page" data-testid="performance-page">
      <div className="page-head">
        <div>
          <h1>{t("nav.performance")}</h1>
          <p>{t("performance.lead")}</p>
        </div>
        <span className="muted">
          {t("admin.started")} <Age at={data.started_at} everyMs={10_000} />
        </span>
      </div>
      <div className="tiles-row">
        <Tile name="stored" value={rate(data.rates.stored_per_s)} />
        <Tile name="rejected" value={rate(data.rates.rejected_per_s)} bad={data.rates.rejected_per_s > 0} />
        <Tile name="dropped" value={rate(data.rates.dropped_per_s)} bad={data.rates.dropped_per_s > 0} />
        <Tile name="p50" value={milliseconds(busiest?.p50_ms)} />
        <Tile name="p99" value={milliseconds(busiest?.p99_ms)} />
        <Tile name="waiting" value={(last?.waiting ?? 0).toLocaleString()} />
        <Tile name="behind" value={(last?.behind ?? 0).toLocaleString()} />
        <Tile name="disk" value={bytes(data.disk.free_bytes)} />
      </div>
      <Alarms alarms={data.alarms} />
      <Charts samples={data.samples} />
      <Tables data={data} />
    </div>
  );
}

function Tile({ name, value, bad = false }: { name: string; value: string; bad?: boolean }) {
  const { t } = useTranslation();
  return (
    <div className={bad ? "card tile-figure bad" : "card tile-figure"} data-testid={`performance-${name}`}>
      <b className="num">{value}</b>
      <span>{t(`performance.${name}`)}</span>
    </div>
  );
}

function Alarms({ alarms }: { alarms: PerformanceView["alarms"] }) {
  const { t } = useTranslation();
  return (
    <ul className="card alarm-list" aria-label={t("performance.alarms")} data-testid="performance-alarms" data-count={alarms.length}>
      {alarms.length === 0 && (
        <li>
          <span className="pill good">
            <Icon name="check" size={13} />
          </span>
          {t("performance.no_alarms")}
        </li>
      )}
      {alarms.map((alarm) => (
        <li key={alarm.code + alarm.message}>
          <span className={alarm.severity === "critical" ? "pill bad" : "pill"}>
            <Icon name="warning" size={13} />
            {t(`performance.${alarm.severity}`)}
          </span>
          {alarm.message}
        </li>
      ))}
    </ul>
  );
}

function Charts({ samples }: { samples: PerformanceView["samples"] }) {
  const { t, i18n } = useTranslation();
  const theme = useTheme((state) => state.theme);
  const line = (pick: (sample: PerformanceView["samples"][number]) => number | null): [number, number][] =>
    samples.flatMap((sample) => {
      const value = pick(sample);
      return value === null ? [] : [[Date.parse(sample.at), value] as [number, number]];
    });
  const charts = [
    { key: "chart_rate", unit: t("performance.per_s"), points: line((sample) => sample.stored_per_s) },
    { key: "chart_latency", unit: "ms", points: line((sample) => sample.p99_ms) },
    { key: "chart_waiting", unit: "", points: line((sample) => sample.waiting) },
  ];
  return (
    <div className="performance-charts">
      {charts.map((chart) => (
        <section key={chart.key} className="card card-body">
          <h2>{t(`performance.${chart.key}`)}</h2>
          {chart.points.length === 0 ? (
            <div className="muted" style={{ height: CHART_HEIGHT }}>
              {t("performance.none")}
            </div>
          ) : (
            <Suspense fallback={<div style={{ height: CHART_HEIGHT }} />}>
              <TimeChart points={chart.points} unit={chart.unit} label={t(`performance.${chart.key}`)} theme={theme} language={i18n.language} height={CHART_HEIGHT} />
            </Suspense>
          )}
        </section>
      ))}
    </div>
  );
}

function Tables({ data }: { data: PerformanceView }) {
  const { t } = useTranslation();
  const number = (value: number | null | undefined) => <span className="num">{value === null || value === undefined ? "–" : value.toLocaleString()}</span>;
  const rated = (value: number) => <span className="num">{rate(value)}</span>;
  const word = (value: string) => <span className="mono">{value}</span>;
  return (
    <div className="performance-grid">
      <List
        title={t("performance.sources")}
        rows={data.sources}
        rowKey="source"
        columns={[
          { title: t("performance.source"), dataIndex: "source", render: word },
          { title: t("performance.received"), dataIndex: "received_per_s", align: "right", render: rated },
          { title: t("performance.stored"), dataIndex: "stored_per_s", align: "right", render: rated },
          { title: t("performance.rejected"), dataIndex: "rejected_per_s", align: "right", render: rated },
          { title: t("performance.dropped"), dataIndex: "dropped_per_s", align: "right", render: rated },
        ]}
      />
      <List
        title={t("performance.latencies")}
        rows={data.latencies}
        rowKey="name"
        columns={[
          { title: t("performance.name"), dataIndex: "name", render: word },
          { title: t("performance.count"), dataIndex: "count", align: "right", render: number },
          { title: "p50", dataIndex: "p50_ms", align: "right", render: (value: number | null) => <span className="num">{milliseconds(value)}</span> },
          { title: "p99", dataIndex: "p99_ms", align: "right", render: (value: number | null) => <span className="num">{milliseconds(value)}</span> },
          { title: "p99.9", dataIndex: "p999_ms", align: "right", render: (value: number | null) => <span className="num">{milliseconds(value)}</span> },
          { title: "", key: "bars", render: (_, row) => <Histogram name={row.name} buckets={row.buckets} /> },
        ]}
      />
      <List
        title={t("performance.lag")}
        rows={data.lag}
        rowKey="consumer"
        columns={[
          { title: t("performance.consumer"), dataIndex: "consumer", render: word },
          { title: t("performance.behind"), dataIndex: "behind", align: "right", render: number },
          { title: t("performance.applied"), dataIndex: "applied", align: "right", render: number },
          { title: t("performance.position"), dataIndex: "position", align: "right", render: number },
          {
            title: t("performance.state"),
            key: "state",
            render: (_, row) => (
              <span className={row.is_healthy ? "pill good" : "pill bad"} title={row.problem ?? undefined}>
                {row.is_healthy ? t("performance.healthy") : t("performance.unhealthy")}
              </span>
            ),
          },
        ]}
      />
      <List
        title={t("performance.queues")}
        rows={data.queues}
        rowKey={(row) => `${row.name} ${row.kind}`}
        columns={[
          { title: t("performance.queue"), dataIndex: "name", render: word },
          { title: t("performance.kind"), dataIndex: "kind", render: word },
          { title: t("performance.queued"), dataIndex: "waiting", align: "right", render: number },
          { title: t("performance.limit"), dataIndex: "limit", align: "right", render: number },
          { title: t("performance.dropped_count"), dataIndex: "dropped", align: "right", render: number },
          { title: t("performance.failed"), dataIndex: "failed", align: "right", render: number },
        ]}
      />
      <List
        title={t("performance.rules")}
        rows={data.rules}
        rowKey="rule"
        columns={[
          {
            title: t("performance.rule"),
            dataIndex: "rule",
            render: (rule: string, row) => (
              <>
                <Link to="/rules" search={{ rule }}>
                  {rule}
                </Link>{" "}
                {row.is_quarantined && <span className="pill bad">{t("performance.quarantined")}</span>}
              </>
            ),
          },
          { title: t("performance.evaluations"), dataIndex: "evaluations", align: "right", render: number },
          { title: t("performance.busy"), dataIndex: "busy_ms", align: "right", render: (value: number) => <span className="num">{milliseconds(value)}</span> },
          { title: t("performance.each"), dataIndex: "us_per_evaluation", align: "right", render: (value: number) => <span className="num">{rate(value)} µs</span> },
        ]}
      />
      <List
        title={t("performance.devices")}
        rows={data.devices}
        rowKey={(row) => row.device_id ?? ""}
        columns={[
          {
            title: t("performance.device"),
            dataIndex: "device_id",
            render: (device: string | null) =>
              device === null ? (
                <span className="muted">{t("performance.no_device")}</span>
              ) : (
                <Link to="/devices/$deviceId" params={{ deviceId: device }}>
                  {device}
                </Link>
              ),
          },
          { title: t("performance.readings"), dataIndex: "readings", align: "right", render: number },
          { title: t("performance.rejects"), dataIndex: "rejected", align: "right", render: number },
          { title: t("performance.per_s"), dataIndex: "per_s", align: "right", render: rated },
        ]}
      />
      <List
        title={t("performance.processes")}
        rows={data.processes}
        rowKey="name"
        columns={[
          { title: t("performance.process"), dataIndex: "name", render: word },
          { title: t("performance.pid"), dataIndex: "pid", align: "right", render: (value: number) => <span className="num">{value}</span> },
          {
            title: t("performance.memory"),
            dataIndex: "memory_bytes",
            align: "right",
            render: (value: number | null) => (value === null ? <span className="pill bad">{t("performance.away")}</span> : <span className="num">{bytes(value)}</span>),
          },
          {
            title: t("performance.processor"),
            dataIndex: "processor_share",
            align: "right",
            render: (value: number | null) => <span className="num">{value === null ? "–" : `${(100 * value).toFixed(0)} %`}</span>,
          },
        ]}
      />
    </div>
  );
}

function List<Row extends object>({ title, rows, rowKey, columns }: { title: ReactNode; rows: Row[]; rowKey: TableProps<Row>["rowKey"]; columns: TableProps<Row>["columns"] }) {
  const { t } = useTranslation();
  return (
    <section>
      <h2>{title}</h2>
      {/* The keyboard must be able to scroll it: antd's own scrolling box takes no focus. */}
      <div role="region" aria-label={String(title)} tabIndex={0} style={{ overflowX: "auto" }}>
        <Table<Row>
          size="small"
          pagination={false}
          style={{ minWidth: "max-content" }}
          rowKey={rowKey}
          dataSource={rows}
          columns={columns}
          locale={{ emptyText: <EmptyState title={t("performance.none")} /> }}
        />
      </div>
    </section>
  );
}

function Histogram({ name, buckets }: { name: string; buckets: PerformanceView["latencies"][number]["buckets"] }) {
  const { t } = useTranslation();
  const heights = bars(buckets.map((bucket) => bucket.count));
  return (
    <div className="histogram" role="img" aria-label={t("performance.histogram", { name })}>
      {buckets.map((bucket, place) => (
        <i
          key={String(bucket.at_most_ms)}
          style={{ height: `${heights[place]}%` }}
          title={`≤ ${bucket.at_most_ms === null ? "∞" : milliseconds(bucket.at_most_ms)}: ${bucket.count.toLocaleString()}`}
        />
      ))}
    </div>
  );
}
