import "./incidents.css";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Button, Checkbox, Segmented, Table, type TableProps } from "antd";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { incidentsQuery } from "~/shared/data/incidents";
import type { IncidentView } from "~/shared/data/keys";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useMay } from "~/shared/session/session";
import { Age, Instant } from "~/shared/ui/age";
import { downloadCsv } from "~/shared/ui/csv";
import { Icon } from "~/shared/ui/icon";
import { SearchField } from "~/shared/ui/search-field";
import { SeverityTag } from "~/shared/ui/severity";
import { EmptyState, ErrorState } from "~/shared/ui/states";
import { useListKeys } from "~/shared/ui/use-list-keys";
import { IncidentStateTag } from "./incident-state-tag";
import { OpenIncidentDialog } from "./open-incident-dialog";

const A_PAGE = 100;
const STATES = ["open", "dispatched", "closed"] as const;

export function IncidentsPage() {
  const { t, i18n } = useTranslation();
  const language = i18n.language as Language;
  const search = useSearch({ from: "/shell/desk/incidents" });
  const navigate = useNavigate({ from: "/incidents" });
  const mayWrite = useMay("incident.write");
  const [cursors, setCursors] = useState<string[]>([]);
  const [opening, setOpening] = useState(false);
  const { data, error, isPending, refetch } = useQuery(
    incidentsQuery({ ...search, limit: A_PAGE, cursor: cursors.at(-1) }),
  );
  const rows = useMemo(() => data?.items ?? [], [data]);
  const change = (part: Partial<typeof search>) => {
    setCursors([]);
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  };
  const show = (id: string) => void navigate({ to: "/incidents/$incidentId", params: { incidentId: id } });

  const [current, setCurrent] = useState(0);
  useEffect(() => setCurrent((index) => Math.min(index, Math.max(0, rows.length - 1))), [rows.length]);
  useListKeys({
    count: rows.length,
    index: current,
    onMove: setCurrent,
    onOpen: (index) => {
      const row = rows[index];
      if (row) show(row.id);
    },
  });

  const columns: TableProps<IncidentView>["columns"] = [
    { title: t("warnings.severity"), key: "severity", width: 108, render: (_, one) => <SeverityTag severity={one.severity} /> },
    {
      title: t("incidents.title"),
      key: "title",
      render: (_, one) => (
        <div>
          <a
            href={`/incidents/${encodeURIComponent(one.id)}`}
            style={{ color: "var(--text)", fontWeight: 550 }}
            onClick={(event) => {
              event.preventDefault();
              show(one.id);
            }}
          >
            {pick(one.title, language)}
          </a>
          <div className="mono muted">{one.id}</div>
        </div>
      ),
    },
    { title: t("incidents.state"), key: "state", width: 130, render: (_, one) => <IncidentStateTag incident={one} /> },
    { title: t("incidents.department"), dataIndex: "department", width: 150, render: (value: string | null) => value ?? "–" },
    {
      title: t("incidents.tasks"),
      key: "tasks",
      width: 86,
      align: "right",
      responsive: ["lg"],
      render: (_, one) => (
        <span className="num">
          {one.tasks.filter((task) => task.state === "done").length} / {one.tasks.length}
        </span>
      ),
    },
    {
      title: t("incidents.deadline"),
      key: "deadline",
      width: 160,
      render: (_, one) => (
        <span style={one.overdue ? { color: "var(--bad)" } : undefined}>
          <Instant at={one.deadline_at} /> {one.overdue && <span className="pill bad">{t("incidents.overdue")}</span>}
        </span>
      ),
    },
    { title: t("incidents.opened"), key: "opened", width: 110, render: (_, one) => <Age at={one.opened_at} everyMs={5000} /> },
  ];

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>{t("nav.incidents")}</h1>
          <p>{data?.total != null ? t("incidents.count", { count: data.total }) : " "}</p>
        </div>
        <div className="row">
          <Button icon={<Icon name="download" size={16} />} disabled={rows.length === 0} onClick={() => downloadCsv("incidents", csvRows(rows, language))}>
            {t("common.csv")}
          </Button>
          {mayWrite && (
            <Button type="primary" onClick={() => setOpening(true)} data-testid="new-incident">
              {t("incidents.new")}
            </Button>
          )}
        </div>
      </div>
      <div className="toolbar">
        <Segmented
          aria-label={t("incidents.state")}
          value={search.state ?? "all"}
          onChange={(value) => change({ state: value === "all" ? undefined : (value as (typeof STATES)[number]) })}
          options={[{ value: "all", label: t("common.all") }, ...STATES.map((value) => ({ value, label: t(`incidents.${value}`) }))]}
        />
        <Checkbox checked={search.overdue ?? false} onChange={(event) => change({ overdue: event.target.checked || undefined })}>
          {t("incidents.overdue")}
        </Checkbox>
        <SearchField main width={230} testId="incident-search" value={search.q} label={t("incidents.search")} onSearch={(q) => change({ q })} />
      </div>
      {error ? (
        <div className="card">
          <ErrorState error={error} retry={() => void refetch()} />
        </div>
      ) : (
        <Table<IncidentView>
          rowKey="id"
          size="middle"
          columns={columns}
          dataSource={rows}
          loading={isPending}
          pagination={false}
          locale={{ emptyText: <EmptyState title={t("incidents.none")}>{t("incidents.none_hint")}</EmptyState> }}
          rowClassName={(_, index) => `clickable${index === current ? " current" : ""}`}
          onRow={(one) =>
            ({
              onClick: () => show(one.id),
              "data-testid": "incident-row",
              "data-severity": one.severity,
              "data-state": one.state,
              "data-incident-id": one.id,
            }) as object
          }
        />
      )}
      {(cursors.length > 0 || data?.next) && (
        <div className="row" style={{ justifyContent: "flex-end", marginTop: 12 }}>
          <Button disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
            {t("common.previous")}
          </Button>
          <Button disabled={!data?.next} onClick={() => data?.next && setCursors([...cursors, data.next])}>
            {t("common.next")}
          </Button>
        </div>
      )}
      <OpenIncidentDialog open={opening} onClose={() => setOpening(false)} onOpened={show} />
    </div>
  );
}

function csvRows(rows: IncidentView[], language: Language) {
  return rows.map((one) => ({
    id: one.id,
    title: pick(one.title, language),
    severity: one.severity,
    state: one.state,
    department: one.department,
    deadline_at: one.deadline_at,
    overdue: one.overdue,
    opened_at: one.opened_at,
    opened_by: one.opened_by,
    closed_at: one.closed_at,
    result: one.result,
  }));
}
