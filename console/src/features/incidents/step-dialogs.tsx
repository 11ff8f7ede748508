import { type ButtonProps, Checkbox, DatePicker, Form, Input, Modal } from "antd";
import type { Dayjs } from "dayjs";
import { useTranslation } from "react-i18next";
import type { Schemas } from "~/shared/api/client";
import type { IncidentView } from "~/shared/data/keys";

interface DialogProps {
  open: boolean;
  busy: boolean;
  onClose: () => void;
}

export function DispatchDialog({
  open,
  busy,
  incident,
  onClose,
  onTake,
}: DialogProps & { incident: IncidentView; onTake: (body: Schemas["DispatchEntry"]) => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<{ department: string; deadline?: Dayjs; note?: string }>();
  return (
    <Modal
      open={open}
      title={t("incidents.dispatch")}
      okText={t("incidents.dispatch")}
      cancelText={t("common.cancel")}
      confirmLoading={busy}
      okButtonProps={{ "data-testid": "dispatch-confirm" } as ButtonProps}
      onCancel={onClose}
      onOk={() => form.submit()}
      destroyOnHidden
    >
      <Form
        form={form}
        layout="vertical"
        preserve={false}
        initialValues={{ department: incident.department ?? "" }}
        onFinish={({ department, deadline, note }) =>
          onTake({ department, deadline: deadline?.toISOString() ?? null, note: note || null })
        }
      >
        <Form.Item name="department" label={t("incidents.department")} rules={[{ required: true, message: t("common.required") }]}>
          <Input maxLength={256} data-testid="dispatch-department" />
        </Form.Item>
        <Form.Item name="deadline" label={t("incidents.deadline")}>
          <DatePicker showTime={{ format: "HH:mm" }} style={{ width: "100%" }} />
        </Form.Item>
        <Form.Item name="note" label={t("incidents.note")}>
          <Input.TextArea rows={3} maxLength={4000} />
        </Form.Item>
      </Form>
    </Modal>
  );
}

export function CloseDialog({
  open,
  busy,
  incident,
  onClose,
  onTake,
}: DialogProps & { incident: IncidentView; onTake: (result: string, cancelTasks: boolean) => void }) {
  const { t } = useTranslation();
  const undone = incident.tasks.filter((task) => task.state === "open" || task.state === "in_progress").length;
  return (
    <TextDialog
      open={open}
      busy={busy}
      title={t("incidents.close")}
      label={t("incidents.result")}
      hint={undone > 0 ? t("incidents.undone", { count: undone }) : undefined}
      choice={undone > 0 ? t("incidents.cancel_tasks") : undefined}
      testId="close-result"
      onClose={onClose}
      onTake={onTake}
    />
  );
}

export function ReopenDialog({ open, busy, onClose, onTake }: DialogProps & { onTake: (reason: string) => void }) {
  const { t } = useTranslation();
  return (
    <TextDialog
      open={open}
      busy={busy}
      title={t("incidents.reopen")}
      label={t("incidents.reason")}
      testId="reopen-reason"
      onClose={onClose}
      onTake={onTake}
    />
  );
}

interface TextDialogProps extends DialogProps {
  title: string;
  label: string;
  hint?: string | undefined;
  /** A box to tick before it can go on. */
  choice?: string | undefined;
  testId: string;
  onTake: (text: string, chosen: boolean) => void;
}

function TextDialog({ open, busy, title, label, hint, choice, testId, onClose, onTake }: TextDialogProps) {
  const { t } = useTranslation();
  const [form] = Form.useForm<{ text: string; chosen?: boolean }>();
  return (
    <Modal
      open={open}
      title={title}
      okText={title}
      cancelText={t("common.cancel")}
      confirmLoading={busy}
      okButtonProps={{ "data-testid": `${testId}-confirm` } as ButtonProps}
      onCancel={onClose}
      onOk={() => form.submit()}
      destroyOnHidden
    >
      {hint && <p style={{ marginBottom: 10, color: "var(--sev-orange)" }}>{hint}</p>}
      <Form form={form} layout="vertical" preserve={false} onFinish={({ text, chosen }) => onTake(text.trim(), chosen ?? false)}>
        <Form.Item name="text" label={label} rules={[{ required: true, whitespace: true, message: t("common.required") }]}>
          <Input.TextArea rows={4} maxLength={4000} autoFocus data-testid={testId} />
        </Form.Item>
        {choice && (
          <Form.Item
            name="chosen"
            valuePropName="checked"
            rules={[{ validator: (_, on: boolean) => (on ? Promise.resolve() : Promise.reject(new Error(t("common.required")))) }]}
          >
            <Checkbox data-testid={`${testId}-choice`}>{choice}</Checkbox>
          </Form.Item>
        )}
      </Form>
    </Modal>
  );
}
