import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { App, Button, Drawer, Select, Switch, Table, type TableProps } from "antd";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { RULE_KINDS, RULE_STATES, rulesQuery } from "~/shared/data/rules";
import { useWords } from "~/shared/data/vocabulary";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useMay } from "~/shared/session/session";
import { Icon } from "~/shared/ui/icon";
import { SearchField } from "~/shared/ui/search-field";
import { EmptyState, ErrorState, problemText } from "~/shared/ui/states";
import { useListKeys } from "~/shared/ui/use-list-keys";
import { RuleTrial } from "./rule-trial";

type RuleView = Schemas["RuleView"];
type PackView = Schemas["PackView"];

const PILLS: Record<string, string> = { active: "pill good", quarantined: "pill bad" };

/** Packs and the rules that they bring: few packs, and now and then a hundred thousand rules. */
export function RulesPage() {
  const { t, i18n } = useTranslation();
  const language = i18n.language as Language;
  const words = useWords();
  const search = useSearch({ from: "/shell/desk/rules" });
  const navigate = useNavigate({ from: "/rules" });
  const packs = useQuery({ queryKey: ["packs"], queryFn: () => answer(api.GET("/api/v1/packs")) });
  const { rule: shown, ...filter } = search;
  const rules = useInfiniteQuery(rulesQuery(filter));
  const rows = useMemo(() => rules.data?.pages.flatMap((page) => page.items) ?? [], [rules.data]);
  const total = rules.data?.pages[0]?.total;
  const change = (part: Partial<typeof search>) => void navigate({ search: (before) => ({ ...before, ...part }), replace: true });
  const show = (rule: string | undefined) => change({ rule });
  const isNarrowed = search.q !== undefined || search.kind !== undefined || search.state !== undefined;

  const [current, setCurrent] = useState(0);
  const asked = JSON.stringify(filter);
  useEffect(() => setCurrent(0), [asked]);
  useListKeys({
    count: rows.length,
    index: current,
    onMove: setCurrent,
    onOpen: (index) => show(rows[index]?.id),
    onClose: () => show(undefined),
  });

  const columns: TableProps<RuleView>["columns"] = [
    {
      title: t("rules.rule"),
      key: "rule",
      render: (_, rule) => (
        <div>
          <button type="button" className="button quiet small" style={{ padding: 0, fontWeight: 550 }} onClick={() => show(rule.id)}>
            {pick(rule.label, language) || rule.name}
          </button>
          <div className="mono muted">{rule.id}</div>
        </div>
      ),
    },
    { title: t("rules.kind"), key: "kind", width: 130, render: (_, rule) => t(`rules.kind_${rule.kind}`, { defaultValue: rule.kind }) },
    { title: t("rules.on"), key: "type", width: 200, render: (_, rule) => words.typeLabel(rule.entity_type) },
    { title: t("rules.version"), key: "version", width: 110, render: (_, rule) => <span className="mono muted" title={rule.version}>{rule.version.slice(0, 8)}</span> },
    {
      title: t("rules.state"),
      key: "state",
      width: 130,
      render: (_, rule) => (
        <span className={PILLS[rule.state] ?? "pill"} title={rule.reason ?? undefined}>
          {rule.state !== "disabled" && <Icon name={rule.state === "active" ? "check" : "warning"} size={13} />}
          {t(`rules.${rule.state}`, { defaultValue: rule.state })}
        </span>
      ),
    },
  ];

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>{t("nav.rules")}</h1>
          <p>{t("rules.hint")}</p>
        </div>
      </div>
      {packs.error && !rules.error && <ErrorState error={packs.error} retry={() => void packs.refetch()} />}
      <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fill, minmax(300px, 1fr))", gap: 14, marginBottom: 22 }}>
        {(packs.data?.items ?? []).map((pack) => (
          <PackCard
            key={pack.name}
            pack={pack}
            chosen={search.pack === pack.name}
            onChoose={() => change({ pack: search.pack === pack.name ? undefined : pack.name, rule: undefined })}
          />
        ))}
      </div>
      <div className="toolbar">
        <SearchField main width={280} testId="rule-search" value={search.q} label={t("rules.search")} onSearch={(q) => change({ q })} />
        <Select
          allowClear
          style={{ width: 170 }}
          placeholder={t("rules.kind")}
          aria-label={t("rules.kind")}
          value={search.kind ?? null}
          onChange={(kind: typeof search.kind | null) => change({ kind: kind ?? undefined })}
          options={RULE_KINDS.map((kind) => ({ value: kind, label: t(`rules.kind_${kind}`) }))}
        />
        <Select
          allowClear
          style={{ width: 150 }}
          placeholder={t("rules.state")}
          aria-label={t("rules.state")}
          value={search.state ?? null}
          onChange={(state: typeof search.state | null) => change({ state: state ?? undefined })}
          options={RULE_STATES.map((state) => ({ value: state, label: t(`rules.${state}`) }))}
        />
        {total != null && (
          <span className="muted num" data-testid="rule-count" data-total={total}>
            {t("rules.found", { count: total, formatted: total.toLocaleString() })}
          </span>
        )}
      </div>
      {rules.error ? (
        <ErrorState error={rules.error} retry={() => void rules.refetch()} />
      ) : (
        <Table<RuleView>
          rowKey="id"
          size="middle"
          columns={columns}
          dataSource={rows}
          loading={rules.isPending}
          pagination={false}
          locale={{
            emptyText: isNarrowed ? (
              <EmptyState title={t("rules.none_found")}>
                <p>{t("rules.none_found_hint")}</p>
                <Button size="small" onClick={() => change({ q: undefined, kind: undefined, state: undefined })}>
                  {t("rules.clear_search")}
                </Button>
              </EmptyState>
            ) : (
              <EmptyState title={t("rules.none")} />
            ),
          }}
          rowClassName={(_, index) => (index === current ? "current" : "")}
          onRow={(rule) => ({ "data-testid": "rule-row", "data-rule-id": rule.id }) as object}
        />
      )}
      {rules.hasNextPage && (
        <Button style={{ marginTop: 12 }} loading={rules.isFetchingNextPage} onClick={() => void rules.fetchNextPage()} data-testid="more-rules">
          {t("common.more")}
        </Button>
      )}
      <RuleDrawer id={shown} onClose={() => show(undefined)} />
    </div>
  );
}

function PackCard({ pack, chosen, onChoose }: { pack: PackView; chosen: boolean; onChoose: () => void }) {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const mayManage = useMay("pack.manage");
  const change = useMutation({
    mutationFn: (on: boolean) => {
      const params = { path: { name: pack.name } };
      return on
        ? answer(api.POST("/api/v1/packs/{name}/enable", { params }))
        : answer(api.POST("/api/v1/packs/{name}/disable", { params }));
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["packs"] });
      void client.invalidateQueries({ queryKey: ["rules"] });
    },
    onError: (error) => void message.error(problemText(error, t)),
  });
  const title = pick(pack.title, i18n.language as Language) || pack.name;
  return (
    <article className="card card-body" style={chosen ? { borderColor: "var(--accent)" } : undefined} data-testid="pack-card" data-pack={pack.name} data-state={pack.state}>
      <div className="spread">
        <h2 style={{ fontSize: 16 }}>
          <button type="button" className="button quiet small" style={{ padding: 0, fontSize: 16, fontWeight: 600 }} aria-pressed={chosen} onClick={onChoose}>
            {title}
          </button>
        </h2>
        <Switch
          size="small"
          checked={pack.state === "enabled"}
          disabled={!mayManage || (pack.state === "broken" && !change.isPending)}
          loading={change.isPending}
          aria-label={t("rules.enable", { name: title })}
          onChange={(on) => change.mutate(on)}
        />
      </div>
      <p className="muted">
        <span className="mono">{pack.name}</span> {pack.version} · {t(`rules.pack_${pack.state}`, { defaultValue: pack.state })}
      </p>
      <p style={{ margin: "6px 0" }}>{pick(pack.description, i18n.language as Language)}</p>
      <p className="row" style={{ flexWrap: "wrap" }}>
        {Object.entries(pack.contents).map(([what, count]) => (
          <span key={what} className="pill num">
            {t(`rules.holds_${what}`, { defaultValue: what })} {count}
          </span>
        ))}
      </p>
      {pack.problems.map((problem) => (
        <p key={`${problem.file}:${problem.line}:${problem.code}`} style={{ color: "var(--bad)", marginTop: 6 }}>
          <span className="mono">
            {problem.file}:{problem.line ?? 1}
          </span>{" "}
          {problem.message}
        </p>
      ))}
    </article>
  );
}

/** Why a rule judges nothing, and the way back. */
function PutAside({ rule }: { rule: RuleView }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const mayRelease = useMay("rule.write");
  const [pack = "", name = ""] = rule.id.split("/");
  const release = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/rules/{pack}/{rule}/release", { params: { path: { pack, rule: name } } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["rules"] });
      void message.success(t("rules.released"));
    },
    onError: (error) => void message.error(problemText(error, t)),
  });
  return (
    <div style={{ display: "grid", gap: 8 }} data-testid="put-aside">
      <p style={{ color: "var(--bad)" }}>
        {t("rules.put_aside")} <span className="mono">{rule.reason}</span>
      </p>
      {mayRelease ? (
        <button type="button" className="button small" style={{ justifySelf: "start" }} disabled={release.isPending} onClick={() => release.mutate()}>
          {t("rules.release")}
        </button>
      ) : (
        <p className="muted">{t("rules.release_by")}</p>
      )}
    </div>
  );
}

function RuleDrawer({ id, onClose }: { id: string | undefined; onClose: () => void }) {
  const { t, i18n } = useTranslation();
  const [pack = "", rule = ""] = (id ?? "").split("/");
  const { data, error } = useQuery({
    queryKey: ["rules", "one", id],
    queryFn: () => answer(api.GET("/api/v1/rules/{pack}/{rule}", { params: { path: { pack, rule } } })),
    enabled: pack !== "" && rule !== "",
  });
  return (
    <Drawer open={id !== undefined} size={620} title={data ? pick(data.label, i18n.language as Language) || data.id : id} onClose={onClose}>
      {error && <ErrorState error={error} />}
      {data && (
        <div style={{ display: "grid", gap: 14 }} data-testid="rule-detail">
          {data.state === "quarantined" && <PutAside rule={data} />}
          <dl className="facts">
            <dt>{t("rules.file")}</dt>
            <dd className="mono">{data.file ?? "–"}</dd>
            {Object.entries(data.counters).map(([name, count]) => (
              <div key={name} style={{ display: "contents" }}>
                <dt>{t(`rules.counter_${name}`, { defaultValue: name })}</dt>
                <dd className="num">{name === "busy_ns" ? `${(count / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} ms` : count.toLocaleString()}</dd>
              </div>
            ))}
          </dl>
          {data.source && (
            <pre className="mono" tabIndex={0} style={{ margin: 0, padding: 14, maxHeight: 360, overflow: "auto", borderRadius: 6, background: "var(--bg)", border: "1px solid var(--line-soft)" }}>
              {data.source}
            </pre>
          )}
          <RuleTrial rule={data} />
        </div>
      )}
    </Drawer>
  );
}
