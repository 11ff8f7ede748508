import { useQuery } from "@tanstack/react-query";
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { systemQuery } from "~/shared/data/system";
import { Age } from "~/shared/ui/age";
import { ErrorState, LoadingState } from "~/shared/ui/states";

type Row = Record<string, unknown>;

/** Versions, room, queues: the state of the server for who runs it. */
export function SystemTab() {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(systemQuery);
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  const share = data.disk.total_bytes > 0 ? data.disk.free_bytes / data.disk.total_bytes : 0;
  return (
    <div style={{ display: "grid", gap: 18, gridTemplateColumns: "minmax(0, 1fr)" }}>
      <div className="card card-body">
        <dl className="facts">
          <dt>{t("admin.version")}</dt>
          <dd>
            Gulou {data.version} · Python {data.python}
          </dd>
          <dt>{t("admin.started")}</dt>
          <dd>
            <Age at={data.started_at} everyMs={10_000} />
          </dd>
          <dt>{t("admin.disk")}</dt>
          <dd>
            {(data.disk.free_bytes / 1e9).toFixed(1)} GB ({(share * 100).toFixed(0)} %){" "}
            {data.disk_full && <span className="pill bad">{t("app.disk_full")}</span>}
          </dd>
          <dt>{t("admin.live_clients")}</dt>
          <dd className="num">{data.live_clients}</dd>
          {Object.entries(data.intake)
            .filter(([, value]) => typeof value !== "object")
            .map(([name, value]) => (
              <div key={name} style={{ display: "contents" }}>
                <dt className="mono">{name}</dt>
                <dd className="num">{typeof value === "number" ? Math.round(value).toLocaleString() : plain(value)}</dd>
              </div>
            ))}
        </dl>
      </div>
      <Rows title={t("admin.consumers")} rows={data.consumers} />
      <Rows title={t("admin.timers")} rows={data.timers} />
      <Rows title={t("admin.adapters")} rows={data.adapters} />
      <Rows title={t("admin.bus")} rows={data.bus} />
    </div>
  );
}

/** A value as it stands, nothing as a dash. */
function plain(value: unknown): string {
  return value === null || value === undefined || value === "" ? "–" : String(value);
}

function Rows({ title, rows }: { title: string; rows: Row[] }) {
  if (rows.length === 0) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return (
    <section>
      <h2 style={{ fontSize: 16, marginBottom: 8 }}>{title}</h2>
      {/* The keyboard must be able to scroll it: antd's own scrolling box takes no focus. */}
      <div role="region" aria-label={title} tabIndex={0} style={{ overflowX: "auto" }}>
        <Table<Row>
          size="small"
          pagination={false}
          style={{ minWidth: "max-content" }}
          rowKey={(row) => JSON.stringify([row.name, row.kind, row.message])}
          dataSource={rows}
          columns={columns.map((name) => ({
            title: name,
            dataIndex: name,
            render: (value: unknown) => <span className="num">{value !== null && typeof value === "object" ? JSON.stringify(value) : plain(value)}</span>,
          }))}
        />
      </div>
    </section>
  );
}
