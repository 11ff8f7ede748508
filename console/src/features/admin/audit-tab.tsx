import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { Button, Table } from "antd";
import { useTranslation } from "react-i18next";
import { answer, api } from "~/shared/api/client";
import { Instant } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { ErrorState, problemText } from "~/shared/ui/states";

/** Who changed what; a chain of hashes shows whether anything was taken out of it. */
export function AuditTab() {
  const { t } = useTranslation();
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery({
    queryKey: ["audit"],
    queryFn: ({ pageParam }) => answer(api.GET("/api/v1/audit", { params: { query: { limit: 100, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const verify = useMutation({ mutationFn: () => answer(api.GET("/api/v1/audit/verification")) });
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  return (
    <>
      <div className="toolbar">
        <Button loading={verify.isPending} onClick={() => verify.mutate()}>
          {t("admin.verify")}
        </Button>
        {verify.data && (
          <span className={verify.data.intact ? "pill good" : "pill bad"} role="status">
            <Icon name={verify.data.intact ? "check" : "warning"} size={13} />
            {verify.data.intact
              ? t("admin.intact", { count: verify.data.entries })
              : t("admin.broken", { sequence: verify.data.first_broken ?? "?" })}
          </span>
        )}
        {verify.error && <span style={{ color: "var(--bad)" }}>{problemText(verify.error, t)}</span>}
      </div>
      <Table
        rowKey="sequence"
        size="small"
        loading={isPending}
        dataSource={data?.pages.flatMap((page) => page.items) ?? []}
        pagination={false}
        expandable={{ expandedRowRender: (entry) => <pre style={{ margin: 0 }}>{JSON.stringify(entry.details, null, 2)}</pre> }}
        columns={[
          { title: "#", dataIndex: "sequence", width: 80, className: "num" },
          { title: t("admin.when"), key: "at", width: 160, render: (_, entry) => <Instant at={entry.at} /> },
          { title: t("admin.who"), key: "who", width: 180, render: (_, entry) => entry.actor_name || entry.actor_id },
          { title: t("admin.action"), key: "action", width: 220, render: (_, entry) => <span className="mono">{entry.action}</span> },
          { title: t("admin.object"), key: "object", render: (_, entry) => <span className="mono">{`${entry.object_type} ${entry.object_id}`}</span> },
        ]}
      />
      {hasNextPage && (
        <Button style={{ marginTop: 12 }} loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {t("common.more")}
        </Button>
      )}
    </>
  );
}
