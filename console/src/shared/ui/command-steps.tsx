import "./command-steps.css";
import { useTranslation } from "react-i18next";
import type { CommandView } from "~/shared/data/keys";
import { Instant } from "./age";

const STEPS = [
  ["requested", "requested_at"],
  ["sent", "sent_at"],
  ["acknowledged", "acknowledged_at"],
  ["effect_seen", "effect_seen_at"],
] as const;

/** A command's way in four steps with their times; a command that nobody watches for effects ends at the third. */
export function CommandSteps({ command }: { command: CommandView }) {
  const { t } = useTranslation();
  const failed = ["failed", "timed_out", "expired", "cancelled"].includes(command.state);
  const steps = command.effect ? STEPS : STEPS.slice(0, 3);
  return (
    <>
      <ol className="command-steps">
        {steps.map(([state, field]) => {
          const at = command[field];
          return (
            <li key={state} className={at ? "reached" : undefined}>
              <span>{t(`command.${state}`)}</span>
              {at ? <Instant at={at} kind="time" /> : <span className="muted">–</span>}
            </li>
          );
        })}
      </ol>
      {failed && (
        <p style={{ color: "var(--bad)", fontSize: 13 }}>
          {t(`command.${command.state}`)}
          {command.reason && `: ${command.reason}`}
        </p>
      )}
    </>
  );
}
