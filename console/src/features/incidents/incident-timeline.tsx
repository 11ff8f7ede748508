import { useQuery } from "@tanstack/react-query";
import { App, Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Schemas } from "~/shared/api/client";
import { timelineQuery, useIncidentStep } from "~/shared/data/incidents";
import type { CommandView, IncidentView } from "~/shared/data/keys";
import type { Language } from "~/shared/i18n/i18n";
import { Instant } from "~/shared/ui/age";
import { CommandBadge } from "~/shared/ui/command-badge";
import { Icon, type IconName } from "~/shared/ui/icon";
import { SEVERITIES_DOWN, SeverityIcon } from "~/shared/ui/severity";
import { EmptyState, ErrorState, LoadingState, problemText } from "~/shared/ui/states";
import { timelineText } from "./timeline-text";

/** What happened, by whom, oldest first; nothing in it is ever altered. */
export function IncidentTimeline({ incident, mayWrite }: { incident: IncidentView; mayWrite: boolean }) {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(timelineQuery(incident.id));
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  return (
    <>
      {data.items.length === 0 && <EmptyState title={t("incidents.no_timeline")} />}
      <ol className="timeline" aria-live="polite">
        {data.items.map((entry) => (
          <TimelineItem key={entry.id} entry={entry} />
        ))}
      </ol>
      {mayWrite && <NoteForm incident={incident} />}
    </>
  );
}

const ICONS: [RegExp, IconName][] = [
  [/command|action/, "device"],
  [/warning|detection/, "warning"],
  [/note/, "help"],
  [/task/, "check"],
  [/dispatch/, "link"],
  [/clos/, "check"],
  [/overdue|deadline/, "clock"],
  [/open/, "incident"],
];

function TimelineItem({ entry }: { entry: Schemas["TimelineEntryView"] }) {
  const { t, i18n } = useTranslation();
  const icon = ICONS.find(([pattern]) => pattern.test(entry.kind))?.[1] ?? "chevron";
  const severity = SEVERITIES_DOWN.find((one) => entry.kind === "warning" && one === entry.details.severity);
  const state = entry.kind.includes("command") && typeof entry.details.state === "string" ? entry.details.state : null;
  const text = timelineText(entry, t, i18n.language as Language);
  return (
    <li className="timeline-item" data-testid="timeline-item" data-kind={entry.kind}>
      <Instant at={entry.at} kind="time" />
      <span className="node" aria-hidden="true">
        {severity ? <SeverityIcon severity={severity} size={16} /> : <Icon name={icon} size={14} />}
      </span>
      <div>
        <p>{text}</p>
        <div className="row who">
          {entry.actor_kind === "system" ? t(`timeline.by_${entry.actor_id}`, { defaultValue: entry.actor_name }) : entry.actor_name || entry.actor_id}
          {state && <CommandBadge state={state as CommandView["state"]} />}
        </div>
      </div>
    </li>
  );
}

function NoteForm({ incident }: { incident: IncidentView }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [text, setText] = useState("");
  const step = useIncidentStep(incident.id);
  const send = () => {
    if (!text.trim()) return;
    step.mutate(
      { kind: "note", body: { text: text.trim() } },
      { onSuccess: () => setText(""), onError: (error) => void message.error(problemText(error, t)) },
    );
  };
  return (
    <div className="row" style={{ alignItems: "flex-end", marginTop: 6 }}>
      <Input.TextArea
        autoSize={{ minRows: 1, maxRows: 6 }}
        maxLength={4000}
        value={text}
        placeholder={t("incidents.note_hint")}
        aria-label={t("incidents.note")}
        data-testid="note-text"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
        }}
      />
      <Button type="primary" loading={step.isPending} disabled={!text.trim()} onClick={send} data-testid="note-send">
        {t("incidents.add_note")}
      </Button>
    </div>
  );
}
