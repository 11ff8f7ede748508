import "./incidents.css";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { App, Button, Steps } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { incidentQuery, useIncidentStep } from "~/shared/data/incidents";
import type { IncidentView } from "~/shared/data/keys";
import { localName } from "~/shared/data/entities";
import { useWho } from "~/shared/data/people";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useMay } from "~/shared/session/session";
import { Age, Instant } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { SeverityTag } from "~/shared/ui/severity";
import { ErrorState, LoadingState, problemText } from "~/shared/ui/states";
import { IncidentCommands } from "./incident-commands";
import { IncidentPlace } from "./incident-place";
import { IncidentStateTag } from "./incident-state-tag";
import { IncidentTasks } from "./incident-tasks";
import { IncidentTimeline } from "./incident-timeline";
import { IncidentWarnings } from "./incident-warnings";
import { CloseDialog, DispatchDialog, ReopenDialog } from "./step-dialogs";

export function IncidentPage() {
  const { incidentId } = useParams({ from: "/shell/desk/incidents/$incidentId" });
  const { data, error, isPending, refetch } = useQuery(incidentQuery(incidentId));
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  return <Incident incident={data} />;
}

function Incident({ incident }: { incident: IncidentView }) {
  const { t } = useTranslation();
  const mayWrite = useMay("incident.write", incident.department);
  return (
    <div className="page" data-testid="incident-page" data-state={incident.state}>
      <p style={{ marginBottom: 8 }}>
        <Link to="/incidents" className="row" style={{ display: "inline-flex", gap: 4 }}>
          <Icon name="back" size={15} /> {t("nav.incidents")}
        </Link>
      </p>
      <IncidentHead incident={incident} mayWrite={mayWrite} />
      <div className="incident-grid">
        <div className="column">
          <section className="card" aria-label={t("incidents.timeline")}>
            <div className="card-head">{t("incidents.timeline")}</div>
            <div className="card-body">
              <IncidentTimeline incident={incident} mayWrite={mayWrite} />
            </div>
          </section>
        </div>
        <div className="column">
          <section className="card" aria-label={t("incidents.commands")}>
            <div className="card-head">{t("incidents.commands")}</div>
            <div className="card-body">
              <IncidentCommands incident={incident} />
            </div>
          </section>
          <section className="card" aria-label={t("incidents.tasks")}>
            <div className="card-head">{t("incidents.tasks")}</div>
            <div className="card-body">
              <IncidentTasks incident={incident} mayWrite={mayWrite && incident.state !== "closed"} />
            </div>
          </section>
          <section className="card" aria-label={t("nav.warnings")}>
            <div className="card-head">{t("nav.warnings")}</div>
            <div className="card-body">
              <IncidentWarnings incident={incident} />
            </div>
          </section>
          {incident.location && <IncidentPlace incident={incident} />}
        </div>
      </div>
    </div>
  );
}

function IncidentHead({ incident, mayWrite }: { incident: IncidentView; mayWrite: boolean }) {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const [dialog, setDialog] = useState<"dispatch" | "close" | "reopen" | null>(null);
  const step = useIncidentStep(incident.id);
  const take = (one: Parameters<typeof step.mutate>[0]) =>
    step.mutate(one, {
      onSuccess: () => setDialog(null),
      onError: (error) => void message.error(problemText(error, t)),
    });
  const closed = incident.state === "closed";
  const openedBy = useWho(incident.opened_by);

  return (
    <header className="card incident-head">
      <div className="spread" style={{ alignItems: "flex-start", flexWrap: "wrap" }}>
        <div style={{ minWidth: 0, flex: "1 1 420px" }}>
          <div className="row" style={{ flexWrap: "wrap", marginBottom: 6 }}>
            <SeverityTag severity={incident.severity} />
            <IncidentStateTag incident={incident} />
            {incident.overdue && <span className="pill bad">{t("incidents.overdue")}</span>}
            <span className="mono muted">{incident.id}</span>
          </div>
          <h1>{pick(incident.title, i18n.language as Language)}</h1>
          <p className="muted" style={{ marginTop: 6 }}>
            {t("incidents.opened_by", { name: openedBy })} · <Age at={incident.opened_at} everyMs={5000} />
            {incident.entity_id && (
              <>
                {" · "}
                <Link to="/" search={{ sel: incident.entity_id }}>
                  {localName(incident.entity_id)}
                </Link>
              </>
            )}
            {incident.deadline_at && (
              <>
                {" · "}
                {t("incidents.deadline")} <Instant at={incident.deadline_at} />
              </>
            )}
          </p>
        </div>
        {mayWrite && (
          <div className="row">
            {!closed && (
              <>
                <Button onClick={() => setDialog("dispatch")} data-testid="dispatch">
                  {t("incidents.dispatch")}
                </Button>
                <Button type="primary" onClick={() => setDialog("close")} data-testid="close-incident">
                  {t("incidents.close")}
                </Button>
              </>
            )}
            {closed && <Button onClick={() => setDialog("reopen")}>{t("incidents.reopen")}</Button>}
          </div>
        )}
      </div>
      <Steps
        size="small"
        current={{ open: 0, dispatched: 1, closed: 3 }[incident.state]}
        items={[
          { title: t("incidents.step_opened"), content: <Instant at={incident.opened_at} /> },
          { title: t("incidents.step_dispatched"), content: incident.department ?? t("incidents.nobody") },
          { title: t("incidents.step_closed"), content: closed ? <Instant at={incident.closed_at} /> : "" },
        ]}
      />
      {incident.result && (
        <p style={{ marginTop: 14 }} data-testid="incident-result">
          <strong>{t("incidents.result")}:</strong> {incident.result}
        </p>
      )}
      <DispatchDialog
        open={dialog === "dispatch"}
        incident={incident}
        busy={step.isPending}
        onClose={() => setDialog(null)}
        onTake={(body) => take({ kind: "dispatch", body: { ...body, version: incident.version } })}
      />
      <CloseDialog
        open={dialog === "close"}
        incident={incident}
        busy={step.isPending}
        onClose={() => setDialog(null)}
        onTake={(result, cancelTasks) =>
          take({ kind: "close", body: { result, cancel_tasks: cancelTasks, version: incident.version } })
        }
      />
      <ReopenDialog
        open={dialog === "reopen"}
        busy={step.isPending}
        onClose={() => setDialog(null)}
        onTake={(reason) => take({ kind: "reopen", body: { reason, version: incident.version } })}
      />
    </header>
  );
}
