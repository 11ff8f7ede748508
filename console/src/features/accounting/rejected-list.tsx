import { useQuery } from "@tanstack/react-query";
import { App, Button, Modal, Segmented, Select, Table, type TableProps } from "antd";
import { type Key, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "~/shared/api/client";
import { rejectedDetailQuery, rejectedQuery, useReplay } from "~/shared/data/accounting";
import { useMay } from "~/shared/session/session";
import { Instant } from "~/shared/ui/age";
import { downloadCsv } from "~/shared/ui/csv";
import { Icon } from "~/shared/ui/icon";
import { SearchField } from "~/shared/ui/search-field";
import { EmptyState, ErrorState, LoadingState, problemText } from "~/shared/ui/states";
import { fromBase64, hexDump } from "./hex";

type RejectedView = Schemas["RejectedView"];

interface Search {
  source?: string | undefined;
  code?: string | undefined;
  q?: string | undefined;
  rejected?: string | undefined;
}

interface RejectedListProps {
  search: Search;
  sources: string[];
  onChange: (part: Search) => void;
}

const A_PAGE = 50;

/** What was refused, why, and the bytes as they came; to be read again when its mapping is mended. */
export function RejectedList({ search, sources, onChange }: RejectedListProps) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const mayReplay = useMay("intake.write");
  const [cursors, setCursors] = useState<string[]>([]);
  const [chosen, setChosen] = useState<Key[]>([]);
  const { source, code, q } = search;
  const { data, error, isPending, refetch } = useQuery(rejectedQuery({ source, code, q, limit: A_PAGE, cursor: cursors.at(-1) }));
  const replay = useReplay();
  const change = (part: Search) => {
    setCursors([]);
    setChosen([]);
    onChange(part);
  };
  const again = (ids: string[] | null) =>
    replay.mutate(ids ? { ids, limit: 10_000 } : { source: source ?? null, code: code ?? null, limit: 10_000 }, {
      onSuccess: (result) => {
        setChosen([]);
        void message.success(t("accounting.replayed", { count: result.replayed, stored: result.stored, rejected: result.rejected }));
      },
      onError: (problem) => void message.error(problemText(problem, t)),
    });

  const columns: TableProps<RejectedView>["columns"] = [
    { title: t("accounting.when"), key: "when", width: 140, render: (_, one) => <Instant at={one.received_at} /> },
    { title: t("accounting.source"), dataIndex: "source", width: 140, render: (text: string) => <span className="mono">{text}</span> },
    {
      title: t("accounting.reason"),
      key: "reason",
      render: (_, one) => (
        <div>
          {one.message}
          <div className="mono muted">
            {one.code} {one.where}
          </div>
        </div>
      ),
    },
    {
      title: t("accounting.from"),
      key: "from",
      width: 250,
      ellipsis: true,
      render: (_, one) => (
        <div style={{ minWidth: 0 }}>
          <div className="truncate">{one.device_id ?? "–"}</div>
          <div className="mono muted truncate">{one.address}</div>
        </div>
      ),
    },
    {
      title: t("accounting.raw"),
      key: "raw",
      width: 260,
      ellipsis: true,
      responsive: ["xl"],
      render: (_, one) => <span className="mono muted">{one.preview}</span>,
    },
    {
      key: "state",
      width: 90,
      render: (_, one) => one.replayed && <span className="pill good">{t("accounting.was_replayed")}</span>,
    },
  ];

  return (
    <section style={{ marginTop: 28 }} aria-labelledby="rejected-title">
      <div className="page-head" style={{ marginBottom: 10 }}>
        <div>
          <h2 id="rejected-title" style={{ fontSize: 17 }}>
            {t("accounting.rejected_title")}
          </h2>
          <p>{data?.total != null ? t("accounting.rejected_count", { count: data.total }) : " "}</p>
        </div>
        <div className="row">
          <Button icon={<Icon name="download" size={16} />} disabled={!data?.items.length} onClick={() => downloadCsv("rejected", data?.items ?? [])}>
            {t("common.csv")}
          </Button>
          {mayReplay && (
            <Button
              type={chosen.length > 0 ? "primary" : "default"}
              loading={replay.isPending}
              disabled={!data?.items.length}
              data-testid="replay"
              onClick={() => again(chosen.length > 0 ? chosen.map(String) : q ? (data?.items ?? []).map((one) => one.id) : null)}
            >
              {chosen.length > 0 ? t("accounting.replay_some", { count: chosen.length }) : t("accounting.replay_all")}
            </Button>
          )}
        </div>
      </div>
      <div className="toolbar">
        <Select
          allowClear
          style={{ width: 190 }}
          placeholder={t("accounting.source")}
          aria-label={t("accounting.source")}
          value={source ?? null}
          options={sources.map((value) => ({ value, label: value }))}
          onChange={(value: string | null) => change({ source: value ?? undefined })}
        />
        <SearchField width={210} testId="rejected-code" value={code} label={t("accounting.code")} onSearch={(value) => change({ code: value })} />
        <SearchField main testId="rejected-search" value={q} label={t("accounting.search")} onSearch={(value) => change({ q: value })} />
      </div>
      {error ? (
        <div className="card">
          <ErrorState error={error} retry={() => void refetch()} />
        </div>
      ) : (
        <Table<RejectedView>
          rowKey="id"
          size="small"
          columns={columns}
          dataSource={data?.items ?? []}
          loading={isPending}
          pagination={false}
          locale={{ emptyText: <EmptyState title={t("accounting.none_rejected")} /> }}
          rowClassName="clickable"
          rowSelection={mayReplay ? { selectedRowKeys: chosen, onChange: setChosen } : undefined}
          onRow={(one) => ({ onClick: () => onChange({ rejected: one.id }), "data-testid": "rejected-row", "data-code": one.code }) as object}
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
      <Modal
        open={search.rejected !== undefined}
        width={780}
        title={t("accounting.one_rejected")}
        onCancel={() => onChange({ rejected: undefined })}
        footer={
          mayReplay && search.rejected ? (
            <Button type="primary" loading={replay.isPending} onClick={() => again([search.rejected as string])}>
              {t("accounting.replay_one")}
            </Button>
          ) : null
        }
        destroyOnHidden
      >
        {search.rejected && <RejectedDetail id={search.rejected} />}
      </Modal>
    </section>
  );
}

function RejectedDetail({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(rejectedDetailQuery(id));
  const [shown, setShown] = useState<"text" | "hex" | null>(null);
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  const form = shown ?? (data.raw_text == null ? "hex" : "text");
  return (
    <div style={{ display: "grid", gap: 14 }} data-testid="rejected-detail">
      <p style={{ color: "var(--bad)" }}>
        <Icon name="warning" size={16} /> {data.message}
      </p>
      <dl className="facts">
        <dt>{t("accounting.code")}</dt>
        <dd className="mono">
          {data.code} {Object.keys(data.params).length > 0 && JSON.stringify(data.params)}
        </dd>
        <dt>{t("accounting.where")}</dt>
        <dd className="mono">{data.where || "–"}</dd>
        <dt>{t("accounting.from")}</dt>
        <dd>
          {data.device_id ?? "–"} · <span className="mono">{data.address}</span>
        </dd>
        <dt>{t("accounting.read_by")}</dt>
        <dd>
          {data.adapter} {data.mapping && `· ${data.mapping}`}
        </dd>
        <dt>{t("accounting.when")}</dt>
        <dd>
          <Instant at={data.received_at} kind="full" />
        </dd>
      </dl>
      <div className="spread">
        <strong>
          {t("accounting.raw")} <span className="muted num">{t("accounting.bytes", { count: data.size })}</span>
        </strong>
        <Segmented
          size="small"
          aria-label={t("accounting.raw")}
          value={form}
          onChange={(value) => setShown(value as "text" | "hex")}
          options={[
            { value: "text", label: t("accounting.text"), disabled: data.raw_text == null },
            { value: "hex", label: t("accounting.hex") },
          ]}
        />
      </div>
      <pre className={form === "hex" ? "raw hex" : "raw"} data-testid="raw-bytes" tabIndex={0}>
        {form === "hex" ? hexDump(fromBase64(data.raw_base64)) : data.raw_text}
      </pre>
    </div>
  );
}
