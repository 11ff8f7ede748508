import "./devices.css";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Button, Segmented, Select, Table, type TableProps } from "antd";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { fetchRaw } from "~/shared/api/client";
import { deviceName, devicesQuery, devicesSummaryQuery } from "~/shared/data/devices";
import type { DeviceView } from "~/shared/data/keys";
import { useWords } from "~/shared/data/vocabulary";
import { useNotices } from "~/shared/live/notices";
import { useMay } from "~/shared/session/session";
import { Age } from "~/shared/ui/age";
import { saveFile } from "~/shared/ui/csv";
import { Icon } from "~/shared/ui/icon";
import { SearchField } from "~/shared/ui/search-field";
import { EmptyState, ErrorState, problemText } from "~/shared/ui/states";
import { useListKeys } from "~/shared/ui/use-list-keys";
import { DeviceDialog } from "./device-dialog";
import { ImportDialog } from "./import-dialog";
import { OnlineTag } from "./online-tag";

const SORTABLE = new Set(["id", "name", "kind", "adapter", "department", "last_seen_at"]);

/** The registry. It holds a hundred thousand and more, so filters, search and order are the server's work. */
export function DevicesPage() {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const kindLabel = (kind: string) => t(`devices.kind_${kind}`, { defaultValue: kind });
  const search = useSearch({ from: "/shell/desk/devices" });
  const navigate = useNavigate({ from: "/devices" });
  const mayWrite = useMay("device.write");
  const [importing, setImporting] = useState(false);
  const [adding, setAdding] = useState(false);
  const { data: summary } = useQuery(devicesSummaryQuery);
  const { gateway, ...filter } = search;
  const { data, error, isPending, isFetchingNextPage, hasNextPage, fetchNextPage, refetch } = useInfiniteQuery(
    devicesQuery({ ...filter, gateway_id: gateway }),
  );
  const rows = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const total = data?.pages[0]?.total;

  const change = (part: Partial<typeof search>) => void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const show = (id: string) => void navigate({ to: "/devices/$deviceId", params: { deviceId: id } });

  const [current, setCurrent] = useState(0);
  useEffect(() => setCurrent(0), [search]);
  useListKeys({
    count: rows.length,
    index: current,
    onMove: setCurrent,
    onOpen: (index) => {
      const row = rows[index];
      if (row) show(row.id);
    },
  });

  const holder = useRef<HTMLDivElement>(null);
  const height = useRestOfWindow(holder);
  const sorted = (field: string) => {
    const order = search.sort === field ? "ascend" : search.sort === `-${field}` ? "descend" : null;
    return { key: field, sorter: SORTABLE.has(field), sortOrder: order as "ascend" | "descend" | null };
  };

  const columns: TableProps<DeviceView>["columns"] = [
    {
      title: t("devices.name"),
      ...sorted("name"),
      width: 300,
      render: (_, device) => (
        <div className="device-name">
          <Link to="/devices/$deviceId" params={{ deviceId: device.id }} className="truncate">
            {deviceName(device, i18n.language)}
          </Link>
          <span className="mono muted truncate">{device.id}</span>
        </div>
      ),
    },
    { title: t("devices.state"), key: "online", width: 110, render: (_, device) => <OnlineTag device={device} /> },
    { title: t("devices.last_seen"), ...sorted("last_seen_at"), width: 124, render: (_, device) => <Age at={device.last_seen_at} everyMs={5000} /> },
    { title: t("devices.kind"), ...sorted("kind"), width: 110, render: (_, device) => kindLabel(device.kind) },
    { title: t("devices.adapter"), dataIndex: "adapter", ...sorted("adapter"), width: 100 },
    {
      title: t("devices.bound"),
      key: "bound",
      width: 190,
      ellipsis: true,
      render: (_, device) => [...new Set(device.bindings.map((binding) => words.typeLabel(binding.entity_type)))].join(", ") || "–",
    },
    { title: t("devices.department"), dataIndex: "department", ...sorted("department"), width: 140, render: (value: string | null) => value ?? "–" },
  ];

  return (
    <div className="page devices-page">
      <div className="page-head">
        <div>
          <h1>{t("nav.devices")}</h1>
          <p data-testid="device-count" data-total={total ?? ""}>
            {summary
              ? t("devices.summary", {
                  total: summary.total.toLocaleString(),
                  online: summary.online.toLocaleString(),
                  offline: summary.offline.toLocaleString(),
                  never: summary.never.toLocaleString(),
                })
              : " "}
          </p>
        </div>
        <div className="row">
          <ExportButton />
          {mayWrite && (
            <>
              <Button onClick={() => setImporting(true)} data-testid="import-devices">
                {t("devices.import")}
              </Button>
              <Button type="primary" onClick={() => setAdding(true)} data-testid="new-device">
                {t("devices.new")}
              </Button>
            </>
          )}
        </div>
      </div>
      <div className="toolbar">
        <SearchField main width={280} testId="device-search" value={search.q} label={t("devices.search")} onSearch={(q) => change({ q })} />
        <Segmented
          aria-label={t("devices.state")}
          value={search.online ?? "all"}
          onChange={(value) => change({ online: value === "all" ? undefined : (value as "online") })}
          options={(["all", "online", "offline", "never"] as const).map((value) => ({
            value,
            label: value === "all" ? t("common.all") : t(`devices.${value}`),
          }))}
        />
        <Select
          allowClear
          style={{ width: 160 }}
          placeholder={t("devices.kind")}
          aria-label={t("devices.kind")}
          value={search.kind ?? null}
          onChange={(kind: string | null) => change({ kind: kind ?? undefined })}
          options={(summary?.by_kind ?? []).map(({ kind, total: count }) => ({ value: kind, label: `${kindLabel(kind)} (${count.toLocaleString()})` }))}
        />
        {(["adapter", "department", "gateway"] as const).map(
          (field) =>
            search[field] && (
              <Button key={field} size="small" onClick={() => change({ [field]: undefined })}>
                {t(`devices.${field}`)}: {search[field]} <Icon name="close" size={12} />
              </Button>
            ),
        )}
        {total != null && <span className="muted num">{t("devices.found", { count: total, formatted: total.toLocaleString() })}</span>}
      </div>
      <div ref={holder}>
        {error ? (
          <div className="card">
            <ErrorState error={error} retry={() => void refetch()} />
          </div>
        ) : (
          <Table<DeviceView>
            virtual
            rowKey="id"
            size="small"
            columns={columns}
            dataSource={rows}
            loading={isPending}
            pagination={false}
            scroll={{ x: 1074, y: height }}
            locale={{ emptyText: <EmptyState title={t("devices.none")}>{t("devices.none_hint")}</EmptyState> }}
            rowClassName={(_, index) => `clickable${index === current ? " current" : ""}`}
            onChange={(_, __, sorter) => {
              const one = Array.isArray(sorter) ? sorter[0] : sorter;
              const field = one?.order ? String(one.columnKey) : undefined;
              change({ sort: field && (one?.order === "descend" ? `-${field}` : field) });
            }}
            onRow={(device) => ({ onClick: () => show(device.id), "data-testid": "device-row", "data-device-id": device.id }) as object}
            onScroll={(event) => {
              const box = event.currentTarget;
              const rest = box.scrollHeight - box.scrollTop - box.clientHeight;
              if (rest < 1200 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
            }}
          />
        )}
      </div>
      <ImportDialog open={importing} onClose={() => setImporting(false)} />
      <DeviceDialog open={adding} device={null} onClose={() => setAdding(false)} onSaved={show} />
    </div>
  );
}

function ExportButton() {
  const { t } = useTranslation();
  const push = useNotices((state) => state.push);
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      const response = await fetchRaw("/api/v1/devices/export.csv");
      saveFile("devices.csv", await response.blob());
    } catch (error) {
      push({ severity: "bad", text: problemText(error, t) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button icon={<Icon name="download" size={16} />} loading={busy} onClick={() => void save()} data-testid="export-devices">
      {t("common.csv")}
    </Button>
  );
}

/** Height left below an element, so that a virtual table fills the window and no more. */
function useRestOfWindow(holder: React.RefObject<HTMLElement | null>): number {
  const [height, setHeight] = useState(480);
  useLayoutEffect(() => {
    const measure = () => {
      const top = holder.current?.getBoundingClientRect().top ?? 260;
      setHeight(Math.max(240, window.innerHeight - top - 72));
    };
    measure();
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, [holder]);
  return height;
}
