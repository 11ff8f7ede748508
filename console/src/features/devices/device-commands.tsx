import { useQuery } from "@tanstack/react-query";
import { App, AutoComplete, Button, Form, Input, Table } from "antd";
import { useTranslation } from "react-i18next";
import { commandsQuery, useCancelCommand, useSendCommand } from "~/shared/data/commands";
import type { CommandView, DeviceView } from "~/shared/data/keys";
import { Instant } from "~/shared/ui/age";
import { CommandBadge } from "~/shared/ui/command-badge";
import { CommandSteps } from "~/shared/ui/command-steps";
import { problemText } from "~/shared/ui/states";
import { Who } from "~/shared/ui/who";

/** What devices of a type commonly understand: suggestions only, the device itself decides. */
const USUAL: Record<string, [string, object][]> = {
  Pump: [
    ["switch", { powerState: "on" }],
    ["switch", { powerState: "off" }],
  ],
  Streetlight: [
    ["switch", { powerState: "on" }],
    ["switch", { powerState: "off" }],
    ["set_level", { illuminanceLevel: 0.5 }],
    ["automatic", {}],
  ],
  Gate: [
    ["open", {}],
    ["close", {}],
    ["set_opening", { openingLevel: 0.5 }],
  ],
};

/** Send a command and watch it: requested, sent, acknowledged, effect seen. */
export function DeviceCommands({ device, mayCommand }: { device: DeviceView; mayCommand: boolean }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const { data } = useQuery(commandsQuery({ device_id: device.id, limit: 20 }));
  const cancel = useCancelCommand();
  return (
    <>
      {mayCommand && <CommandForm device={device} />}
      <Table<CommandView>
        size="small"
        rowKey="id"
        pagination={false}
        dataSource={data?.items ?? []}
        locale={{ emptyText: t("devices.no_commands") }}
        onRow={(command) => ({ "data-testid": "command-row", "data-command-id": command.id }) as object}
        expandable={{ expandedRowRender: (command) => <CommandSteps command={command} /> }}
        columns={[
          {
            title: t("devices.command"),
            key: "name",
            render: (_, command) => (
              <span className="mono">
                {command.name} {JSON.stringify(command.parameters)}
              </span>
            ),
          },
          { title: t("devices.state"), key: "state", width: 150, render: (_, command) => <CommandBadge state={command.state} /> },
          { title: t("devices.by"), key: "by", width: 150, ellipsis: true, render: (_, command) => <Who id={command.requested_by} /> },
          { title: t("devices.when"), key: "when", width: 140, render: (_, command) => <Instant at={command.requested_at} /> },
          {
            key: "act",
            width: 80,
            render: (_, command) =>
              mayCommand &&
              command.state === "requested" && (
                <Button size="small" onClick={() => cancel.mutate(command.id, { onError: (error) => void message.error(problemText(error, t)) })}>
                  {t("common.cancel")}
                </Button>
              ),
          },
        ]}
      />
    </>
  );
}

function CommandForm({ device }: { device: DeviceView }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [form] = Form.useForm<{ name: string; parameters: string }>();
  const send = useSendCommand(device.id);
  const usual = [...new Set(device.bindings.map((binding) => binding.entity_type))].flatMap((type) => USUAL[type] ?? []);
  return (
    <Form
      form={form}
      layout="inline"
      style={{ marginBottom: 14, rowGap: 8 }}
      initialValues={{ name: usual[0]?.[0] ?? "", parameters: JSON.stringify(usual[0]?.[1] ?? {}) }}
      onFinish={({ name, parameters }) =>
        send.mutate(
          {
            name,
            parameters: readParameters(parameters) ?? {},
            acknowledge_within_s: 10,
            effect_within_s: 300,
            retries: 2,
            expires_in_s: 3600,
          },
          {
            onSuccess: () => void message.success(t("devices.command_requested")),
            onError: (error) => void message.error(problemText(error, t)),
          },
        )
      }
    >
      <Form.Item name="name" rules={[{ required: true, message: t("common.required") }]}>
        <AutoComplete
          style={{ width: 190 }}
          popupMatchSelectWidth={340}
          aria-label={t("devices.command")}
          placeholder={t("devices.command")}
          options={usual.map(([name, parameters]) => {
            const text = JSON.stringify(parameters);
            return { value: name, key: `${name} ${text}`, parameters: text, label: <span className="mono">{`${name} ${text}`}</span> };
          })}
          onSelect={(_, option) => form.setFieldsValue({ parameters: String(option.parameters) })}
        />
      </Form.Item>
      <Form.Item
        name="parameters"
        style={{ flex: "1 1 220px" }}
        rules={[{ validator: (_, text: string) => (readParameters(text) ? Promise.resolve() : Promise.reject(new Error(t("devices.json_rule")))) }]}
      >
        <Input className="mono" aria-label={t("devices.parameters")} placeholder='{"powerState": "on"}' data-testid="command-parameters" />
      </Form.Item>
      <Button type="primary" htmlType="submit" loading={send.isPending} data-testid="command-send">
        {t("devices.send")}
      </Button>
    </Form>
  );
}

/** Parameters as a JSON object; null when the text is none. */
export function readParameters(text: string | undefined): Record<string, unknown> | null {
  if (!text?.trim()) return {};
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
