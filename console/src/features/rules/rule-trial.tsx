import "./rules.css";
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Button, DatePicker, Input, Segmented, Switch, Table, type TableProps } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { localName } from "~/shared/data/entities";
import { type Language, pick } from "~/shared/i18n/i18n";
import { serverNow } from "~/shared/live/store";
import { Instant } from "~/shared/ui/age";
import { downloadCsv } from "~/shared/ui/csv";
import { type Severity, SeverityTag } from "~/shared/ui/severity";
import { ErrorState } from "~/shared/ui/states";
import { asRuleFile } from "./rule-file";

type Firing = Schemas["RuleFiring"];

const HOURS = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 } as const;
const SPANS = [...Object.keys(HOURS), "own"] as (keyof typeof HOURS | "own")[];

/** A rule on the city's own past: when it would have said something. Nothing is raised in earnest. */
export function RuleTrial({ rule }: { rule: Schemas["RuleView"] }) {
  const { t } = useTranslation();
  const [span, setSpan] = useState<(typeof SPANS)[number]>("24h");
  const [own, setOwn] = useState<[Dayjs | null, Dayjs | null] | null>(null);
  const [text, setText] = useState<string | null>(null);
  const running = useRef<AbortController | null>(null);

  const trial = useMutation({
    mutationFn: () => {
      const [from, to] = span === "own" ? (own ?? [null, null]) : [dayjs(serverNow()).subtract(HOURS[span], "hour"), dayjs(serverNow())];
      const what = text === null ? { id: rule.id } : { yaml: asRuleFile(text) };
      running.current = new AbortController();
      const body = { ...what, from: from?.toISOString() ?? "", to: to?.toISOString() ?? "" };
      return answer(api.POST("/api/v1/rules/try", { body, signal: running.current.signal }));
    },
  });
  const { reset } = trial;
  useEffect(() => {
    setText(null);
    reset();
    return () => running.current?.abort();
  }, [rule.id, reset]);
  const cancel = () => {
    running.current?.abort();
    reset();
  };

  return (
    <section className="rule-trial" aria-label={t("rules.try")} data-testid="rule-trial">
      <h3>{t("rules.try")}</h3>
      <p className="muted">{t("rules.try_hint")}</p>
      <div className="row" style={{ flexWrap: "wrap" }}>
        <Segmented
          aria-label={t("rules.try_span")}
          value={span}
          onChange={setSpan}
          options={SPANS.map((value) => ({ value, label: t(`rules.span_${value}`) }))}
        />
        {span === "own" && (
          <DatePicker.RangePicker showTime={{ format: "HH:mm" }} value={own} onChange={setOwn} disabledDate={(day) => day.isAfter(dayjs(serverNow()))} />
        )}
      </div>
      <label className="row">
        <Switch size="small" checked={text !== null} onChange={(on) => setText(on ? (rule.source ?? "") : null)} data-testid="trial-edit" />
        {t("rules.try_changed")}
      </label>
      {text !== null && (
        <Input.TextArea
          className="mono"
          aria-label={t("rules.try_text")}
          data-testid="trial-text"
          autoSize={{ minRows: 6, maxRows: 24 }}
          maxLength={200_000}
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      )}
      <div className="row">
        <Button type="primary" loading={trial.isPending} disabled={span === "own" && !(own?.[0] && own[1])} onClick={() => trial.mutate()} data-testid="trial-run">
          {t("rules.try_run")}
        </Button>
        {trial.isPending && <Button onClick={cancel}>{t("common.cancel")}</Button>}
      </div>
      {trial.error && <ErrorState error={trial.error} />}
      {trial.data && !trial.isPending && <Outcome found={trial.data} name={rule.name} />}
    </section>
  );
}

function Outcome({ found, name }: { found: Schemas["RuleFirings"]; name: string }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language as Language;
  const raised = found.firings.filter((one) => one.state === "raised").length;
  const columns: TableProps<Firing>["columns"] = [
    { title: t("rules.at"), key: "at", width: 140, render: (_, one) => <Instant at={one.at} /> },
    { title: t("rules.change"), key: "state", width: 110, render: (_, one) => t(`rules.change_${one.state}`) },
    { title: t("rules.severity"), key: "severity", width: 100, render: (_, one) => <SeverityTag severity={one.severity as Severity} /> },
    {
      title: t("rules.where"),
      key: "entity",
      render: (_, one) => (
        <>
          <Link to="/" search={{ sel: one.entity_id }}>
            {localName(one.entity_id)}
          </Link>
          <div className="muted">{pick(one.headline, language)}</div>
        </>
      ),
    },
  ];
  const save = () =>
    downloadCsv(
      `trial-${name}`,
      found.firings.map((one) => ({
        at: one.at,
        state: one.state,
        severity: one.severity,
        entity: one.entity_id,
        headline: pick(one.headline, language),
        values: one.values,
      })),
    );
  return (
    <div style={{ display: "grid", gap: 10 }}>
      <p role="status" data-testid="trial-outcome" data-raised={raised} data-readings={found.readings ?? 0}>
        {t(raised > 0 ? "rules.would_fire" : "rules.would_not_fire", {
          raised: raised.toLocaleString(),
          readings: (found.readings ?? 0).toLocaleString(),
        })}
      </p>
      {found.truncated && <p style={{ color: "var(--warn)" }}>{t("rules.try_truncated")}</p>}
      {found.firings.length > 0 && (
        <>
          <Table<Firing>
            size="small"
            rowKey={(one) => `${one.at}|${one.entity_id}|${one.state}|${one.severity}|${JSON.stringify(one.values)}`}
            columns={columns}
            dataSource={found.firings}
            pagination={{ pageSize: 20, hideOnSinglePage: true, showSizeChanger: false }}
            onRow={() => ({ "data-testid": "trial-firing" }) as object}
          />
          <Button style={{ justifySelf: "start" }} onClick={save}>
            {t("common.csv")}
          </Button>
        </>
      )}
    </div>
  );
}
