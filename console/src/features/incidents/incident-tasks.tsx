import { App, Button, Input, Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useIncidentStep } from "~/shared/data/incidents";
import type { IncidentView } from "~/shared/data/keys";
import { Instant } from "~/shared/ui/age";
import { problemText } from "~/shared/ui/states";

const STATES = ["open", "in_progress", "done", "cancelled"] as const;

export function IncidentTasks({ incident, mayWrite }: { incident: IncidentView; mayWrite: boolean }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [title, setTitle] = useState("");
  const step = useIncidentStep(incident.id);
  const onError = (error: unknown) => void message.error(problemText(error, t));
  const add = () => {
    if (title.trim()) step.mutate({ kind: "task", body: { title: title.trim() } }, { onSuccess: () => setTitle(""), onError });
  };
  return (
    <>
      {incident.tasks.length === 0 && !mayWrite && <p className="muted">{t("incidents.no_tasks")}</p>}
      <ul>
        {incident.tasks.map((task) => (
          <li key={task.id} className={task.state === "done" || task.state === "cancelled" ? "task done" : "task"} data-testid="task" data-state={task.state}>
            <div className="grow">
              <div className="title">{task.title}</div>
              <div className="muted" style={{ fontSize: 13 }}>
                {[task.department, task.assignee].filter(Boolean).join(" · ")}
                {task.deadline_at && <Instant at={task.deadline_at} />}
                {task.result}
              </div>
            </div>
            <Select<(typeof STATES)[number]>
              size="small"
              style={{ width: 112 }}
              disabled={!mayWrite}
              aria-label={t("incidents.task_state")}
              value={task.state as (typeof STATES)[number]}
              options={STATES.map((value) => ({ value, label: t(`incidents.task_${value}`) }))}
              onChange={(state) => step.mutate({ kind: "taskChange", taskId: task.id, body: { state } }, { onError })}
            />
          </li>
        ))}
      </ul>
      {mayWrite && (
        <div className="row" style={{ marginTop: 8 }}>
          <Input
            value={title}
            maxLength={200}
            placeholder={t("incidents.task_hint")}
            aria-label={t("incidents.task_hint")}
            data-testid="task-title"
            onChange={(event) => setTitle(event.target.value)}
            onPressEnter={add}
          />
          <Button onClick={add} disabled={!title.trim()} loading={step.isPending} data-testid="task-add">
            {t("incidents.add_task")}
          </Button>
        </div>
      )}
    </>
  );
}
