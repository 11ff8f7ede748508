import { Form, Input, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { Schemas } from "~/shared/api/client";
import { useOpenIncident } from "~/shared/data/incidents";
import { SEVERITIES_DOWN, SeverityTag } from "~/shared/ui/severity";
import { problemText } from "~/shared/ui/states";

interface OpenIncidentDialogProps {
  open: boolean;
  onClose: () => void;
  onOpened: (id: string) => void;
}

/** Open an incident by hand, for what no rule has seen. */
export function OpenIncidentDialog({ open, onClose, onOpened }: OpenIncidentDialogProps) {
  const { t } = useTranslation();
  const [form] = Form.useForm<{ title: string; severity: Schemas["IncidentNew"]["severity"]; department?: string; note?: string }>();
  const opening = useOpenIncident();
  return (
    <Modal
      open={open}
      title={t("incidents.new")}
      okText={t("incidents.open_it")}
      cancelText={t("common.cancel")}
      confirmLoading={opening.isPending}
      onCancel={onClose}
      onOk={() => form.submit()}
      destroyOnHidden
    >
      <Form
        form={form}
        layout="vertical"
        preserve={false}
        initialValues={{ severity: "yellow" }}
        onFinish={(values) =>
          opening.mutate(
            { kind: "other", ...values, department: values.department || null, note: values.note || null },
            {
              onSuccess: (incident) => {
                onClose();
                onOpened(incident.id);
              },
            },
          )
        }
      >
        <Form.Item name="title" label={t("incidents.title")} rules={[{ required: true, message: t("common.required") }]}>
          <Input maxLength={200} data-testid="incident-title" />
        </Form.Item>
        <Form.Item name="severity" label={t("warnings.severity")}>
          <Select options={SEVERITIES_DOWN.map((value) => ({ value, label: <SeverityTag severity={value} /> }))} />
        </Form.Item>
        <Form.Item name="department" label={t("incidents.department")}>
          <Input maxLength={256} />
        </Form.Item>
        <Form.Item name="note" label={t("incidents.note")}>
          <Input.TextArea rows={3} maxLength={4000} />
        </Form.Item>
      </Form>
      {opening.error && (
        <p role="alert" style={{ color: "var(--bad)" }}>
          {problemText(opening.error, t)}
        </p>
      )}
    </Modal>
  );
}
