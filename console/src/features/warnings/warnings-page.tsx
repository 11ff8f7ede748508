import "./warnings.css";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Button, Segmented, Table, type TableProps } from "antd";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { WarningView } from "~/shared/data/keys";
import { warningQuery, warningsQuery } from "~/shared/data/warnings";
import { localName } from "~/shared/data/entities";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useMay } from "~/shared/session/session";
import { Age } from "~/shared/ui/age";
import { downloadCsv } from "~/shared/ui/csv";
import { Icon } from "~/shared/ui/icon";
import { SearchField } from "~/shared/ui/search-field";
import { type Severity, SEVERITIES_DOWN, SeverityIcon, SeverityTag } from "~/shared/ui/severity";
import { EmptyState, ErrorState } from "~/shared/ui/states";
import { useListKeys } from "~/shared/ui/use-list-keys";
import { AcknowledgeDialog } from "./acknowledge-dialog";
import { WarningDetail } from "./warning-detail";
import { WarningStateTag } from "./warning-state-tag";

const A_PAGE = 100;

/** All warnings in their four states: active or cleared, acknowledged or not. */
export function WarningsPage() {
  const { t, i18n } = useTranslation();
  const language = i18n.language as Language;
  const search = useSearch({ from: "/shell/desk/warnings" });
  const navigate = useNavigate({ from: "/warnings" });
  const mayAcknowledge = useMay("warning.acknowledge");
  const [cursors, setCursors] = useState<string[]>([]);
  const [asked, setAsked] = useState<WarningView | null>(null);

  const state = search.state ?? "active";
  const filter = {
    state: state === "all" ? undefined : state,
    acknowledged: search.acked,
    severity: search.severity,
    q: search.q,
    limit: A_PAGE,
    cursor: cursors.at(-1),
  };
  const { data, error, isPending, isFetching, refetch } = useQuery(warningsQuery(filter));
  const rows = useMemo(() => data?.items ?? [], [data]);
  const listed = rows.find((warning) => warning.id === search.warning);
  const { data: linked, error: missing } = useQuery({ ...warningQuery(search.warning ?? ""), enabled: search.warning !== undefined });
  const open = linked ?? listed ?? null;

  const change = (part: Partial<typeof search>) => {
    setCursors([]);
    void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  };
  const show = (id: string | undefined) => void navigate({ search: (before) => ({ ...before, warning: id }), replace: true });

  const [current, setCurrent] = useState(0);
  useEffect(() => setCurrent((index) => Math.min(index, Math.max(0, rows.length - 1))), [rows.length]);
  useListKeys({
    count: rows.length,
    index: current,
    onMove: setCurrent,
    onOpen: (index) => show(rows[index]?.id),
    onClose: () => show(undefined),
    keys: {
      a: (index) => {
        const warning = rows[index];
        if (warning && !warning.acknowledged && mayAcknowledge) setAsked(warning);
      },
    },
  });

  const columns: TableProps<WarningView>["columns"] = [
    {
      title: t("warnings.severity"),
      key: "severity",
      width: 108,
      render: (_, warning) => <SeverityTag severity={warning.severity} />,
    },
    {
      title: t("warnings.what"),
      key: "what",
      render: (_, warning) => (
        <div>
          <div style={{ fontWeight: 550 }}>{pick(warning.headline, language)}</div>
          <div className="muted truncate" style={{ maxWidth: 520 }}>
            {localName(warning.entity_id)} · {warning.rule_id}
          </div>
        </div>
      ),
    },
    { title: t("warnings.state"), key: "state", width: open ? 190 : 250, render: (_, warning) => <WarningStateTag warning={warning} /> },
    { title: t("warnings.repeats"), dataIndex: "repeats", width: 76, align: "right", responsive: ["lg"] },
    { title: t("warnings.raised"), key: "raised", width: 110, render: (_, warning) => <Age at={warning.raised_at} everyMs={5000} /> },
    {
      key: "act",
      width: 112,
      align: "right",
      render: (_, warning) =>
        !warning.acknowledged &&
        mayAcknowledge && (
          <Button
            size="small"
            data-testid="acknowledge"
            onClick={(event) => {
              event.stopPropagation();
              setAsked(warning);
            }}
          >
            {t("warnings.acknowledge")}
          </Button>
        ),
    },
  ];

  return (
    <div className={open || missing ? "page with-detail" : "page"}>
      <div>
        <div className="page-head">
          <div>
            <h1>{t("nav.warnings")}</h1>
            <p aria-live="polite">{data?.total != null ? t("warnings.count", { count: data.total }) : " "}</p>
          </div>
          <Button icon={<Icon name="download" size={16} />} disabled={rows.length === 0} onClick={() => downloadCsv("warnings", csvRows(rows, language))}>
            {t("common.csv")}
          </Button>
        </div>
        <div className="toolbar">
          <Segmented
            aria-label={t("warnings.state")}
            value={state}
            onChange={(value) => change({ state: value === "active" ? undefined : (value as typeof state) })}
            options={(["active", "cleared", "all"] as const).map((value) => ({ value, label: t(`warnings.filter_${value}`) }))}
          />
          <Segmented
            aria-label={t("warnings.acknowledged")}
            value={search.acked === undefined ? "any" : search.acked ? "yes" : "no"}
            onChange={(value) => change({ acked: value === "any" ? undefined : value === "yes" })}
            options={(["any", "no", "yes"] as const).map((value) => ({ value, label: t(`warnings.acked_${value}`) }))}
          />
          <SeverityFilter chosen={search.severity} onChange={(severity) => change({ severity })} />
          <SearchField main width={230} testId="warning-search" value={search.q} label={t("warnings.search")} onSearch={(q) => change({ q })} />
        </div>
        {error ? (
          <div className="card">
            <ErrorState error={error} retry={() => void refetch()} />
          </div>
        ) : (
          <Table<WarningView>
            rowKey="id"
            size="middle"
            columns={columns}
            dataSource={rows}
            loading={isPending}
            pagination={false}
            locale={{ emptyText: <EmptyState title={t("warnings.none")}>{t("warnings.none_hint")}</EmptyState> }}
            rowClassName={(warning, index) =>
              `clickable${warning.id === search.warning || (!open && index === current) ? " current" : ""}`
            }
            onRow={(warning, index) =>
              ({
                onClick: () => {
                  setCurrent(index ?? 0);
                  show(warning.id);
                },
                "data-testid": "warning-row",
                "data-severity": warning.severity,
                "data-state": warning.state,
                "data-acknowledged": String(warning.acknowledged),
                "data-warning-id": warning.id,
              }) as object
            }
          />
        )}
        {(cursors.length > 0 || data?.next) && (
          <div className="pager">
            <Button disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
              {t("common.previous")}
            </Button>
            <Button disabled={!data?.next || isFetching} onClick={() => data?.next && setCursors([...cursors, data.next])}>
              {t("common.next")}
            </Button>
          </div>
        )}
      </div>
      {open && <WarningDetail warning={open} onClose={() => show(undefined)} onAcknowledge={() => setAsked(open)} />}
      {!open && search.warning && missing && (
        <aside className="card warning-detail" aria-label={t("warnings.detail")}>
          <div className="card-head">
            <span />
            <button type="button" className="icon-button" aria-label={t("common.close")} onClick={() => show(undefined)}>
              <Icon name="close" />
            </button>
          </div>
          <ErrorState error={missing} />
        </aside>
      )}
      <AcknowledgeDialog warning={asked} onDone={() => setAsked(null)} />
    </div>
  );
}

function SeverityFilter({ chosen, onChange }: { chosen: Severity[] | undefined; onChange: (chosen: Severity[] | undefined) => void }) {
  const { t } = useTranslation();
  const toggle = (severity: Severity) => {
    const set = new Set(chosen ?? []);
    if (!set.delete(severity)) set.add(severity);
    onChange(set.size > 0 ? SEVERITIES_DOWN.filter((one) => set.has(one)) : undefined);
  };
  return (
    <span className="row" role="group" aria-label={t("warnings.severity")} style={{ gap: 4 }}>
      {SEVERITIES_DOWN.map((severity) => (
        <button
          key={severity}
          type="button"
          className="button quiet small severity-toggle"
          aria-pressed={chosen?.includes(severity) ?? false}
          data-testid={`severity-${severity}`}
          onClick={() => toggle(severity)}
        >
          <SeverityIcon severity={severity} size={17} />
          {t(`severity.${severity}`)}
        </button>
      ))}
    </span>
  );
}

function csvRows(rows: WarningView[], language: Language) {
  return rows.map((warning) => ({
    id: warning.id,
    severity: warning.severity,
    state: warning.state,
    acknowledged: warning.acknowledged,
    acknowledged_by: warning.acknowledged_by,
    headline: pick(warning.headline, language),
    entity: warning.entity_id,
    rule: warning.rule_id,
    raised_at: warning.raised_at,
    cleared_at: warning.cleared_at,
    repeats: warning.repeats,
    incident: warning.incident_id,
  }));
}
