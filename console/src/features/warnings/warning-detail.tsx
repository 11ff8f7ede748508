import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { App, Button, Popconfirm } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "~/shared/api/client";
import { SeriesChart } from "~/shared/charts/series-chart";
import { commandQuery } from "~/shared/data/commands";
import { localName } from "~/shared/data/entities";
import type { WarningView } from "~/shared/data/keys";
import { formatValue, unitSign, useWords } from "~/shared/data/vocabulary";
import { useOpenIncidentFrom, useWarningDecision } from "~/shared/data/warnings";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useMay } from "~/shared/session/session";
import { Age, Instant } from "~/shared/ui/age";
import { CommandBadge } from "~/shared/ui/command-badge";
import { Icon } from "~/shared/ui/icon";
import { SeverityTag } from "~/shared/ui/severity";
import { problemText } from "~/shared/ui/states";
import { Who } from "~/shared/ui/who";
import { WarningStateTag } from "./warning-state-tag";
import { WarningWhy } from "./warning-why";

interface WarningDetailProps {
  warning: WarningView;
  onClose: () => void;
  onAcknowledge: () => void;
}

export function WarningDetail({ warning, onClose, onAcknowledge }: WarningDetailProps) {
  const { t, i18n } = useTranslation();
  const language = i18n.language as Language;
  const words = useWords();
  const navigate = useNavigate();
  const { message } = App.useApp();
  const mayAcknowledge = useMay("warning.acknowledge", warning.department);
  const mayAsk = useMay("rule.read");
  const [asked, setAsked] = useState("");
  const mayOpen = useMay("incident.write", warning.department);
  const decision = useWarningDecision();
  const opening = useOpenIncidentFrom();
  const fail = (error: unknown) => void message.error(problemText(error, t));
  const charted = Object.entries(warning.values)
    .filter(([, value]) => typeof value === "number")
    .map(([series]) => series.split(".").at(-1) ?? series)
    .find((name) => words.hasProperty(warning.entity_type, name));

  const openIncident = () =>
    opening.mutate(
      { id: warning.id },
      {
        onError: fail,
        onSuccess: (incident) => void navigate({ to: "/incidents/$incidentId", params: { incidentId: incident.id } }),
      },
    );

  return (
    <aside className="card warning-detail" aria-label={t("warnings.detail")} data-testid="warning-detail">
      <div className="card-head">
        <SeverityTag severity={warning.severity} />
        <button type="button" className="icon-button" aria-label={t("common.close")} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <div className="card-body">
        <h2>{pick(warning.headline, language)}</h2>
        <p style={{ color: "var(--text-2)", margin: "6px 0 10px" }}>{pick(warning.description, language)}</p>
        <WarningStateTag warning={warning} />
        <div className="row" style={{ flexWrap: "wrap", marginTop: 14 }}>
          {!warning.acknowledged && mayAcknowledge && (
            <Button type="primary" onClick={onAcknowledge} data-testid="detail-acknowledge">
              {t("warnings.acknowledge")}
            </Button>
          )}
          {warning.incident_id ? (
            <Link to="/incidents/$incidentId" params={{ incidentId: warning.incident_id }} className="button" data-testid="to-incident">
              <Icon name="incident" size={16} /> {t("warnings.to_incident")}
            </Link>
          ) : (
            mayOpen && (
              <Button loading={opening.isPending} onClick={openIncident} data-testid="open-incident">
                {t("warnings.open_incident")}
              </Button>
            )
          )}
          {warning.state === "active" && mayAcknowledge && (
            <Popconfirm
              title={t("warnings.clear_ask")}
              okText={t("warnings.clear")}
              cancelText={t("common.cancel")}
              onConfirm={() => decision.mutate({ kind: "clear", id: warning.id }, { onError: fail })}
            >
              <Button>{t("warnings.clear")}</Button>
            </Popconfirm>
          )}
        </div>
      </div>
      {warning.actions.length > 0 && (
        <div className="card-body">
          <h3>{t("warnings.actions")}</h3>
          {warning.actions.map((action) => (
            <ActionCard
              key={action.n}
              warning={warning}
              action={action}
              busy={decision.isPending}
              onDecide={(kind) => decision.mutate({ kind, id: warning.id, n: action.n }, { onError: fail })}
            />
          ))}
        </div>
      )}
      {charted && (
        <div className="card-body">
          <h3>{words.propertyLabel(warning.entity_type, charted)}</h3>
          <SeriesChart entityId={warning.entity_id} entityType={warning.entity_type} property={charted} last="6h" height={150} />
        </div>
      )}
      <div className="card-body">
        <dl className="facts">
          <dt>{t("warnings.entity")}</dt>
          <dd>
            <Link to="/" search={{ sel: warning.entity_id, at: mapView(warning) }}>
              {localName(warning.entity_id)}
            </Link>{" "}
            <span className="muted">{words.typeLabel(warning.entity_type)}</span>
          </dd>
          {shownValues(warning.values).map(([series, value]) => {
            const name = series.split(".").at(-1) ?? series;
            const property = words.property(warning.entity_type, name);
            return (
              <div key={series} style={{ display: "contents" }}>
                <dt>{words.propertyLabel(warning.entity_type, name)}</dt>
                <dd className="num">
                  {formatValue(value, property, language, { yes: t("common.yes"), no: t("common.no") })} {unitSign(property?.unit)}
                </dd>
              </div>
            );
          })}
          <dt>{t("warnings.rule")}</dt>
          <dd>
            <Link to="/rules" search={{ rule: warning.rule_id }}>
              {warning.rule_id}
            </Link>
          </dd>
          <dt>{t("warnings.category")}</dt>
          <dd>{words.category(warning.category)}</dd>
          {warning.department && (
            <>
              <dt>{t("warnings.department")}</dt>
              <dd>{warning.department}</dd>
            </>
          )}
          <dt>{t("warnings.raised")}</dt>
          <dd>
            <Instant at={warning.raised_at} />
          </dd>
          {warning.cleared_at && (
            <>
              <dt>{t("warnings.cleared")}</dt>
              <dd>
                <Instant at={warning.cleared_at} />
              </dd>
            </>
          )}
          {warning.acknowledged && (
            <>
              <dt>{t("warnings.acknowledged")}</dt>
              <dd>
                <Who id={warning.acknowledged_by} /> · <Age at={warning.acknowledged_at} everyMs={10_000} />
                {warning.note && <div>{warning.note}</div>}
              </dd>
            </>
          )}
        </dl>
      </div>
      {mayAsk && warning.detection_id && (
        <details className="card-body" open={asked === warning.id} onToggle={(event) => setAsked(event.currentTarget.open ? warning.id : "")}>
          <summary data-testid="ask-why">{t("warnings.why")}</summary>
          {asked === warning.id && <WarningWhy warning={warning} />}
        </details>
      )}
    </aside>
  );
}

interface ActionCardProps {
  warning: WarningView;
  action: Schemas["ActionView"];
  busy: boolean;
  onDecide: (kind: "approve" | "decline") => void;
}

function ActionCard({ warning, action, busy, onDecide }: ActionCardProps) {
  const { t } = useTranslation();
  const mayCommand = useMay("device.command", warning.department);
  const { data: command } = useQuery({ ...commandQuery(action.command_id ?? ""), enabled: Boolean(action.command_id) && (action.state === "approved" || action.state === "requested") });
  return (
    <div className="action-card" data-testid="proposed-action" data-state={action.state}>
      <div className="spread">
        <strong className="mono">
          {action.name} {Object.keys(action.parameters).length > 0 && JSON.stringify(action.parameters)}
        </strong>
        {command ? <CommandBadge state={command.state} /> : <span className="pill">{t(`warnings.action_${action.state}`)}</span>}
      </div>
      <div className="muted">
        <Link to="/devices/$deviceId" params={{ deviceId: action.device_id }}>
          {action.device_id}
        </Link>
        {action.decided_by && (
          <>
            {" · "}
            <Who id={action.decided_by} />
          </>
        )}
      </div>
      {action.state === "proposed" && warning.state === "active" && mayCommand && (
        <div className="row" style={{ marginTop: 8 }}>
          <Button type="primary" size="small" loading={busy} data-testid="approve" onClick={() => onDecide("approve")}>
            {t("warnings.approve")}
          </Button>
          <Button size="small" disabled={busy} data-testid="decline" onClick={() => onDecide("decline")}>
            {t("warnings.decline")}
          </Button>
        </div>
      )}
    </div>
  );
}

/** The rule's inputs; its bare `value` is one of them under its own name, and then not worth a line. */
function shownValues(values: WarningView["values"]): [string, unknown][] {
  const entries = Object.entries(values);
  return entries.filter(([name, value]) => name !== "value" || !entries.some(([other, one]) => other !== name && one === value));
}

function mapView(warning: WarningView): string | undefined {
  const point = warning.location?.type === "Point" ? (warning.location.coordinates as number[]) : null;
  return point ? `${point[0]},${point[1]},14.5` : undefined;
}
