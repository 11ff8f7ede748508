import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ButtonProps, Button, Form, Input, InputNumber, Modal, Switch } from "antd";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { type DeviceView, KEY } from "~/shared/data/keys";
import { Icon } from "~/shared/ui/icon";
import { problemText } from "~/shared/ui/states";

interface DeviceDialogProps {
  open: boolean;
  device: DeviceView | null;
  onClose: () => void;
  onSaved: (id: string) => void;
}

interface Fields {
  id: string;
  name: string;
  adapter: string;
  kind: string;
  department?: string | null;
  gateway_id?: string | null;
  mapping?: string | null;
  silence_s: number;
  sleepy: boolean;
  enabled: boolean;
  bindings: Schemas["BindingEntry"][];
}

/** Register a device, or change one. */
export function DeviceDialog({ open, device, onClose, onSaved }: DeviceDialogProps) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [form] = Form.useForm<Fields>();
  const save = useMutation({
    mutationFn: (fields: Fields) => {
      const { id, ...rest } = fields;
      const body = {
        ...rest,
        department: rest.department || null,
        gateway_id: rest.gateway_id || null,
        mapping: rest.mapping || null,
        bindings: (rest.bindings ?? []).map((binding) => ({ ...binding, channel: binding.channel || "*", property: binding.property || null, unit_code: binding.unit_code || null })),
      };
      return device
        ? answer(api.PATCH("/api/v1/devices/{device_id}", { params: { path: { device_id: device.id } }, body: { ...body, version: device.version } }))
        : answer(api.POST("/api/v1/devices", { body: { ...body, id, labels: {} } }));
    },
    onSuccess: (saved) => {
      client.setQueryData([KEY.devices, "one", saved.id], saved);
      void client.invalidateQueries({ queryKey: [KEY.devices] });
      onClose();
      onSaved(saved.id);
    },
  });
  const required = [{ required: true, message: t("common.required") }];

  return (
    <Modal
      open={open}
      width={680}
      title={device ? t("devices.edit") : t("devices.new")}
      okText={t("common.save")}
      cancelText={t("common.cancel")}
      confirmLoading={save.isPending}
      okButtonProps={{ "data-testid": "device-save" } as ButtonProps}
      onOk={() => form.submit()}
      onCancel={() => {
        save.reset();
        onClose();
      }}
      destroyOnHidden
    >
      <Form<Fields>
        form={form}
        layout="vertical"
        preserve={false}
        initialValues={device ?? { adapter: "mqtt", kind: "sensor", silence_s: 900, sleepy: false, enabled: true, bindings: [] }}
        onFinish={(fields) => save.mutate(fields)}
      >
        <div style={{ display: "grid", gridTemplateColumns: "1fr 1fr", columnGap: 16 }}>
          {!device && (
            <Form.Item name="id" label="ID" rules={[...required, { pattern: /^[A-Za-z0-9._:-]{1,128}$/, message: t("devices.id_rule") }]}>
              <Input className="mono" data-testid="device-id" />
            </Form.Item>
          )}
          <Form.Item name="name" label={t("devices.name")} rules={required}>
            <Input maxLength={200} />
          </Form.Item>
          <Form.Item name="adapter" label={t("devices.adapter")} rules={required}>
            <Input />
          </Form.Item>
          <Form.Item name="kind" label={t("devices.kind")} rules={required}>
            <Input />
          </Form.Item>
          <Form.Item name="department" label={t("devices.department")}>
            <Input />
          </Form.Item>
          <Form.Item name="gateway_id" label={t("devices.gateway")}>
            <Input className="mono" />
          </Form.Item>
          <Form.Item name="mapping" label={t("devices.mapping")}>
            <Input />
          </Form.Item>
          <Form.Item name="silence_s" label={t("devices.silence")}>
            <InputNumber min={1} max={31_622_400} suffix="s" style={{ width: "100%" }} />
          </Form.Item>
        </div>
        <div className="row" style={{ gap: 28 }}>
          <Form.Item name="enabled" label={t("devices.enabled")} valuePropName="checked">
            <Switch />
          </Form.Item>
          <Form.Item name="sleepy" label={t("devices.sleepy")} valuePropName="checked">
            <Switch />
          </Form.Item>
        </div>
        <Form.List name="bindings">
          {(lines, { add, remove }) => (
            <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
              <legend style={{ marginBottom: 8 }}>{t("devices.bindings")}</legend>
              {lines.map((line) => (
                <div key={line.key} className="row" style={{ alignItems: "flex-start" }}>
                  <Form.Item name={[line.name, "entity_id"]} rules={required} style={{ flex: 2 }}>
                    <Input placeholder="urn:ngsi-ld:…" aria-label={t("devices.entity")} />
                  </Form.Item>
                  <Form.Item name={[line.name, "entity_type"]} rules={required} style={{ flex: 1 }}>
                    <Input placeholder={t("devices.type")} aria-label={t("devices.type")} />
                  </Form.Item>
                  <Form.Item name={[line.name, "channel"]} style={{ flex: 0.7 }}>
                    <Input placeholder="*" aria-label={t("devices.channel")} />
                  </Form.Item>
                  <button type="button" className="icon-button" aria-label={t("common.remove")} onClick={() => remove(line.name)}>
                    <Icon name="close" size={16} />
                  </button>
                </div>
              ))}
              <Button onClick={() => add({ entity_id: "", entity_type: "", channel: "*" })}>{t("devices.add_binding")}</Button>
            </fieldset>
          )}
        </Form.List>
      </Form>
      {save.error && (
        <p role="alert" style={{ color: "var(--bad)", marginTop: 12 }}>
          {problemText(save.error, t)}
        </p>
      )}
    </Modal>
  );
}
