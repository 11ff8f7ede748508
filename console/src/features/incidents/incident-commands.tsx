import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { App, Button } from "antd";
import { useTranslation } from "react-i18next";
import { commandQuery, commandsQuery } from "~/shared/data/commands";
import type { CommandView, IncidentView } from "~/shared/data/keys";
import { useWarningDecision, warningQuery } from "~/shared/data/warnings";
import { useMay } from "~/shared/session/session";
import { CommandBadge } from "~/shared/ui/command-badge";
import { CommandSteps } from "~/shared/ui/command-steps";
import { problemText } from "~/shared/ui/states";
import { Who } from "~/shared/ui/who";

/** Commands that this incident's warnings have led to, and those that wait for a person's yes. */
export function IncidentCommands({ incident }: { incident: IncidentView }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const mayCommand = useMay("device.command", incident.department) && incident.state !== "closed";
  const warnings = useQueries({ queries: incident.warning_ids.map((id) => warningQuery(id)) })
    .map((query) => query.data)
    .filter((warning) => warning !== undefined);
  const actions = warnings.flatMap((warning) => warning.actions.map((action) => ({ warning, action })));
  // The id of a proposed command is known beforehand, but there is no command before somebody has said yes.
  const ids = actions
    .filter(({ action }) => (action.state === "approved" || action.state === "requested"))
    .map(({ action }) => action.command_id)
    .filter((id): id is string => Boolean(id));
  const own = useQuery(commandsQuery({ cause: incident.id, limit: 50 }));
  const requested = useQueries({ queries: ids.map((id) => commandQuery(id)) }).map((query) => query.data);
  const commands = unique([...requested.filter((command) => command !== undefined), ...(own.data?.items ?? [])]);
  const waiting = actions.filter(({ action }) => action.state === "proposed");
  const declined = actions.filter(({ action }) => action.state === "declined" || action.state === "withdrawn");
  const decision = useWarningDecision();

  return (
    <>
      {commands.length + waiting.length + declined.length === 0 && <p className="muted">{t("incidents.no_commands")}</p>}
      {waiting.map(({ warning, action }) => (
        <div key={`${warning.id}-${action.n}`} className="command-line" data-testid="proposed-action" data-state={action.state}>
          <div className="spread">
            <strong className="mono">
              {action.name} {JSON.stringify(action.parameters)}
            </strong>
            <span className="pill warn">{t("warnings.action_proposed")}</span>
          </div>
          <Link to="/devices/$deviceId" params={{ deviceId: action.device_id }}>
            {action.device_id}
          </Link>
          {mayCommand && warning.state === "active" && (
            <div className="row" style={{ marginTop: 8 }}>
              {(["approve", "decline"] as const).map((kind) => (
                <Button
                  key={kind}
                  size="small"
                  type={kind === "approve" ? "primary" : "default"}
                  loading={decision.isPending}
                  data-testid={kind}
                  onClick={() =>
                    decision.mutate(
                      { kind, id: warning.id, n: action.n },
                      { onError: (error) => void message.error(problemText(error, t)) },
                    )
                  }
                >
                  {t(`warnings.${kind}`)}
                </Button>
              ))}
            </div>
          )}
        </div>
      ))}
      {commands.map((command) => (
        <div key={command.id} className="command-line" data-testid="incident-command" data-state={command.state}>
          <div className="spread">
            <strong className="mono">
              {command.name} {JSON.stringify(command.parameters)}
            </strong>
            <CommandBadge state={command.state} />
          </div>
          <div className="muted" style={{ marginBottom: 6 }}>
            <Link to="/devices/$deviceId" params={{ deviceId: command.device_id }}>
              {command.device_id}
            </Link>{" "}
            · <Who id={command.requested_by} />
          </div>
          <CommandSteps command={command} />
        </div>
      ))}
      {declined.map(({ warning, action }) => (
        <div key={`${warning.id}-${action.n}`} className="command-line spread">
          <span className="mono muted">
            {action.name} · {action.device_id}
          </span>
          <span className="pill">{t(`warnings.action_${action.state}`)}</span>
        </div>
      ))}
    </>
  );
}

function unique(commands: CommandView[]): CommandView[] {
  return [...new Map(commands.map((command) => [command.id, command])).values()].sort((a, b) =>
    a.requested_at.localeCompare(b.requested_at),
  );
}
