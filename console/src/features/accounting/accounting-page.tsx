import "./accounting.css";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Button, Table, type TableProps } from "antd";
import { useTranslation } from "react-i18next";
import { type AccountView, accountingQuery, gapOf } from "~/shared/data/accounting";
import { Age } from "~/shared/ui/age";
import { downloadCsv } from "~/shared/ui/csv";
import { Icon } from "~/shared/ui/icon";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";
import { RejectedList } from "./rejected-list";

/** Every reading is accounted for: received = stored + rejected + dropped, for each source and in sum. */
export function AccountingPage() {
  const { t } = useTranslation();
  const search = useSearch({ from: "/shell/desk/accounting" });
  const navigate = useNavigate({ from: "/accounting" });
  const { data, error, isPending, refetch } = useQuery(accountingQuery);
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;

  const number = (value: number) => <span className="num">{value.toLocaleString()}</span>;
  const columns: TableProps<AccountView>["columns"] = [
    { title: t("accounting.source"), dataIndex: "source", render: (source: string) => <span className="mono">{source}</span> },
    { title: t("accounting.received"), dataIndex: "received", align: "right", width: 140, render: number },
    { title: t("accounting.stored"), dataIndex: "stored", align: "right", width: 140, render: number },
    {
      title: t("accounting.rejected"),
      dataIndex: "rejected",
      align: "right",
      width: 130,
      render: (value: number, account) =>
        value > 0 ? (
          <button type="button" className="button quiet small" onClick={() => void navigate({ search: { source: account.source }, replace: true })}>
            {number(value)}
          </button>
        ) : (
          number(value)
        ),
    },
    {
      title: t("accounting.dropped"),
      dataIndex: "dropped",
      align: "right",
      width: 120,
      render: (value: number) => <span style={value > 0 ? { color: "var(--bad)", fontWeight: 600 } : undefined}>{number(value)}</span>,
    },
    { title: t("accounting.check"), key: "check", width: 120, render: (_, account) => <Check account={account} /> },
    { title: t("accounting.last"), key: "last", width: 120, render: (_, account) => <Age at={account.last_received_at} /> },
  ];
  const { total } = data;

  return (
    <div className="page" data-testid="accounting-page">
      <div className="page-head">
        <div>
          <h1>{t("nav.accounting")}</h1>
          <p>{t("accounting.promise")}</p>
        </div>
        <Button icon={<Icon name="download" size={16} />} onClick={() => downloadCsv("accounting", [...data.accounts, total])}>
          {t("common.csv")}
        </Button>
      </div>
      <div className={gapOf(total) === 0 && data.balanced ? "equation card" : "equation card broken"} data-testid="accounting-total" data-balanced={String(data.balanced)}>
        <Figure label={t("accounting.received")} value={total.received} testId="total-received" />
        <span className="sign">=</span>
        <Figure label={t("accounting.stored")} value={total.stored} testId="total-stored" />
        <span className="sign">+</span>
        <Figure label={t("accounting.rejected")} value={total.rejected} testId="total-rejected" />
        <span className="sign">+</span>
        <Figure label={t("accounting.dropped")} value={total.dropped} testId="total-dropped" />
        <span className="verdict">
          <Icon name={gapOf(total) === 0 && data.balanced ? "check" : "warning"} size={22} />
          {gapOf(total) === 0 && data.balanced ? t("accounting.balanced") : t("accounting.unbalanced", { gap: gapOf(total) })}
        </span>
      </div>
      <Table<AccountView>
        rowKey="source"
        size="middle"
        columns={columns}
        dataSource={data.accounts}
        pagination={false}
        scroll={{ x: 860 }}
        locale={{ emptyText: <EmptyState title={t("accounting.none")} /> }}
        onRow={(account) => ({ "data-testid": "account-row", "data-source": account.source }) as object}
      />
      <RejectedList
        search={search}
        sources={data.accounts.map((account) => account.source)}
        onChange={(part) => void navigate({ search: (before) => ({ ...before, ...part }), replace: true })}
      />
    </div>
  );
}

function Figure({ label, value, testId }: { label: string; value: number; testId: string }) {
  return (
    <div className="figure">
      <b className="num" data-testid={testId} data-value={value}>
        {value.toLocaleString()}
      </b>
      <span>{label}</span>
    </div>
  );
}

function Check({ account }: { account: AccountView }) {
  const { t } = useTranslation();
  const gap = gapOf(account);
  return (
    <span className={gap === 0 ? "pill good" : "pill bad"} data-testid="account-check" data-gap={gap}>
      <Icon name={gap === 0 ? "check" : "warning"} size={13} />
      {gap === 0 ? t("accounting.fits") : t("accounting.gap", { gap })}
    </span>
  );
}
