import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ApiProblem, answer, api } from "~/shared/api/client";
import type { WarningView } from "~/shared/data/keys";
import { formatValue, unitSign, useWords } from "~/shared/data/vocabulary";
import type { Language } from "~/shared/i18n/i18n";
import { Instant } from "~/shared/ui/age";
import { type Severity, SeverityTag } from "~/shared/ui/severity";
import { ErrorState, LoadingState } from "~/shared/ui/states";

interface Input {
  value: unknown;
  previous: unknown;
  observedAt: string;
}

interface Level {
  severity: Severity;
  on: boolean;
  hold: string;
  limit?: number;
  clearLimit?: number;
  when?: string | null;
  clear?: string | null;
}

/** What one change of a detection rests on, as the rules tell it; which parts there are depends on the kind of rule. */
interface Ground {
  change: string;
  at: string;
  version?: string;
  reason?: string;
  inputs?: Record<string, Input>;
  levels?: Level[];
  value?: number;
  window?: Record<string, number>;
  expressions?: string[];
  lastHeard?: string;
  inside?: boolean | null;
  steps?: Record<string, { at: string; entity: string }[]>;
}

/** Why there is this warning: of each of its changes the readings, the levels and the version of the rule. */
export function WarningWhy({ warning }: { warning: WarningView }) {
  const { t } = useTranslation();
  const { data, error, isPending } = useQuery({
    queryKey: ["rules", "why", warning.detection_id, warning.state, warning.severity],
    queryFn: () => answer(api.GET("/api/v1/rules/detections/{detection_id}", { params: { path: { detection_id: warning.detection_id } } })),
  });
  if (isPending) return <LoadingState />;
  if (error instanceof ApiProblem && error.status === 404) return <p className="muted">{t("warnings.why_forgotten")}</p>;
  if (error) return <ErrorState error={error} />;
  return (
    <ol className="grounds" data-testid="warning-why">
      {(data.states as unknown as Ground[]).map((ground, index) => (
        <li key={`${ground.at}-${index}`} data-testid="ground" data-change={ground.change}>
          <div className="spread">
            <strong>{t(`rules.change_${ground.change}`, { defaultValue: ground.change })}</strong>
            <Instant at={ground.at} />
          </div>
          <GroundParts ground={ground} entityType={warning.entity_type} />
        </li>
      ))}
    </ol>
  );
}

function GroundParts({ ground, entityType }: { ground: Ground; entityType: string }) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const language = i18n.language as Language;
  const told = (name: string, value: unknown) => {
    const property = words.property(entityType, name);
    const text = formatValue(value, property, language, { yes: t("common.yes"), no: t("common.no") });
    return `${text} ${unitSign(property?.unit)}`.trim();
  };
  return (
    <dl className="facts">
      {Object.entries(ground.inputs ?? {}).map(([series, input]) => {
        const name = series.split(".").at(-1) ?? series;
        return (
          <div key={series} style={{ display: "contents" }}>
            <dt>{words.propertyLabel(entityType, name)}</dt>
            <dd className="num">
              {told(name, input.value)}
              {input.previous != null && <span className="muted"> ← {told(name, input.previous)}</span>}
              <div className="muted">
                <Instant at={input.observedAt} />
              </div>
            </dd>
          </div>
        );
      })}
      {ground.value != null && !Object.values(ground.inputs ?? {}).some((input) => input.value === ground.value) && (
        <>
          <dt>{t("warnings.why_value")}</dt>
          <dd className="num">{formatValue(ground.value, undefined, language, { yes: t("common.yes"), no: t("common.no") })}</dd>
        </>
      )}
      {(ground.levels ?? []).map((level) => (
        <div key={level.severity} style={{ display: "contents" }}>
          <dt>
            <SeverityTag severity={level.severity} />
          </dt>
          <dd className={level.on ? "num" : "num muted"}>
            {level.limit ?? <code>{level.when}</code>}
            {level.clearLimit != null && level.clearLimit !== level.limit && ` (${t("warnings.why_clears", { limit: level.clearLimit })})`}
            {!/^0\D/.test(level.hold) && ` · ${t("warnings.why_hold", { hold: level.hold })}`}
            {" · "}
            {t(level.on ? "warnings.why_on" : "warnings.why_off")}
          </dd>
        </div>
      ))}
      {ground.lastHeard && (
        <>
          <dt>{t("warnings.why_heard")}</dt>
          <dd>
            <Instant at={ground.lastHeard} />
          </dd>
        </>
      )}
      {Object.entries(ground.steps ?? {}).map(([step, matches]) => (
        <div key={step} style={{ display: "contents" }}>
          <dt>{step}</dt>
          <dd>
            {matches.map((match) => (
              <div key={`${match.at}-${match.entity}`}>
                <Instant at={match.at} /> <span className="muted mono">{match.entity.split(":").at(-1)}</span>
              </div>
            ))}
          </dd>
        </div>
      ))}
      {(ground.expressions ?? []).length > 0 && (
        <>
          <dt>{t("warnings.why_conditions")}</dt>
          <dd>
            {ground.expressions?.map((text) => (
              <code key={text} style={{ display: "block" }}>
                {text}
              </code>
            ))}
          </dd>
        </>
      )}
      {(ground.version || ground.reason) && (
        <>
          <dt>{t("warnings.why_version")}</dt>
          <dd className="mono">{ground.reason ?? ground.version}</dd>
        </>
      )}
    </dl>
  );
}
