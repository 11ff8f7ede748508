import "./devices.css";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { App, Button, Popconfirm, Table } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api } from "~/shared/api/client";
import { deviceName, deviceQuery } from "~/shared/data/devices";
import { localName } from "~/shared/data/entities";
import { type DeviceView, KEY } from "~/shared/data/keys";
import { useWords } from "~/shared/data/vocabulary";
import { useMay } from "~/shared/session/session";
import { Age, Instant } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";
import { ErrorState, LoadingState, problemText } from "~/shared/ui/states";
import { Credentials } from "./credentials";
import { DeviceCommands } from "./device-commands";
import { DeviceDialog } from "./device-dialog";
import { DeviceReadings } from "./device-readings";
import { OnlineTag } from "./online-tag";

export function DevicePage() {
  const { deviceId } = useParams({ from: "/shell/desk/devices/$deviceId" });
  const { data, error, isPending, refetch } = useQuery(deviceQuery(deviceId));
  if (isPending) return <LoadingState />;
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;
  return <Device device={data} />;
}

function Device({ device }: { device: DeviceView }) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const mayWrite = useMay("device.write", device.department);
  const mayCommand = useMay("device.command", device.department);
  const [editing, setEditing] = useState(false);

  return (
    <div className="page" data-testid="device-page" data-device-id={device.id}>
      <p style={{ marginBottom: 8 }}>
        <Link to="/devices" className="row" style={{ display: "inline-flex", gap: 4 }}>
          <Icon name="back" size={15} /> {t("nav.devices")}
        </Link>
      </p>
      <div className="page-head">
        <div>
          <div className="row">
            <h1>{deviceName(device, i18n.language)}</h1>
            <OnlineTag device={device} />
          </div>
          <p className="mono">{device.id}</p>
        </div>
        {mayWrite && (
          <div className="row">
            <Button onClick={() => setEditing(true)}>{t("devices.edit")}</Button>
            <DeleteButton device={device} />
          </div>
        )}
      </div>
      <div className="device-grid">
        <div className="column">
          <section className="card" aria-label={t("devices.readings")}>
            <div className="card-head">{t("devices.readings")}</div>
            <div className="card-body">
              <DeviceReadings device={device} />
            </div>
          </section>
          <section className="card" aria-label={t("devices.commands")}>
            <div className="card-head">{t("devices.commands")}</div>
            <div className="card-body">
              <DeviceCommands device={device} mayCommand={mayCommand} />
            </div>
          </section>
        </div>
        <div className="column">
          <section className="card" aria-label={t("devices.facts")}>
            <div className="card-head">{t("devices.facts")}</div>
            <div className="card-body">
              <dl className="facts">
                <dt>{t("devices.last_seen")}</dt>
                <dd>
                  <Age at={device.last_seen_at} />
                </dd>
                <dt>{t("devices.kind")}</dt>
                <dd>{t(`devices.kind_${device.kind}`, { defaultValue: device.kind })}</dd>
                <dt>{t("devices.adapter")}</dt>
                <dd>{device.adapter}</dd>
                <dt>{t("devices.department")}</dt>
                <dd>{device.department ?? "–"}</dd>
                <dt>{t("devices.gateway")}</dt>
                <dd>
                  {device.gateway_id ? (
                    <Link to="/devices/$deviceId" params={{ deviceId: device.gateway_id }}>
                      {device.gateway_id}
                    </Link>
                  ) : (
                    "–"
                  )}
                </dd>
                <dt>{t("devices.mapping")}</dt>
                <dd>{device.mapping ?? t("devices.own_format")}</dd>
                <dt>{t("devices.silence")}</dt>
                <dd>{device.silence_s} s</dd>
                <dt>{t("devices.sleepy")}</dt>
                <dd>{device.sleepy ? t("common.yes") : t("common.no")}</dd>
                {device.longitude != null && device.latitude != null && (
                  <>
                    <dt>{t("devices.place")}</dt>
                    <dd>
                      <Link to="/" search={{ at: `${device.longitude},${device.latitude},15`, sel: device.bindings[0]?.entity_id }}>
                        {device.longitude.toFixed(5)}, {device.latitude.toFixed(5)}
                      </Link>
                    </dd>
                  </>
                )}
                <dt>{t("devices.created")}</dt>
                <dd>
                  <Instant at={device.created_at} />
                </dd>
                {Object.entries(device.labels).filter(([key]) => !key.startsWith("name_")).map(([key, value]) => (
                  <div key={key} style={{ display: "contents" }}>
                    <dt>{key}</dt>
                    <dd>{value}</dd>
                  </div>
                ))}
              </dl>
            </div>
          </section>
          <section className="card" aria-label={t("devices.bindings")}>
            <div className="card-head">{t("devices.bindings")}</div>
            <Table
              size="small"
              rowKey={(binding) => `${binding.entity_id}/${binding.channel}`}
              pagination={device.bindings.length > 10 ? { pageSize: 10, showSizeChanger: false } : false}
              dataSource={device.bindings}
              locale={{ emptyText: t("devices.unbound") }}
              columns={[
                { title: t("devices.channel"), key: "channel", width: 90, render: (_, binding) => <span className="mono">{binding.channel}</span> },
                {
                  title: t("devices.entity"),
                  key: "entity",
                  render: (_, binding) => (
                    <>
                      <Link to="/" search={{ sel: binding.entity_id }}>
                        {localName(binding.entity_id)}
                      </Link>
                      <div className="muted">
                        {words.typeLabel(binding.entity_type)}
                        {binding.property && ` · ${words.propertyLabel(binding.entity_type, binding.property)}`}
                        {binding.unit_code && ` (${binding.unit_code})`}
                      </div>
                    </>
                  ),
                },
              ]}
            />
          </section>
          {mayWrite && <Credentials deviceId={device.id} />}
        </div>
      </div>
      <DeviceDialog open={editing} device={device} onClose={() => setEditing(false)} onSaved={() => setEditing(false)} />
    </div>
  );
}

function DeleteButton({ device }: { device: DeviceView }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const navigate = useNavigate();
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/devices/{device_id}", { params: { path: { device_id: device.id } } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [KEY.devices, "list"] });
      void navigate({ to: "/devices" });
    },
    onError: (error) => void message.error(problemText(error, t)),
  });
  return (
    <Popconfirm
      title={t("devices.delete_ask")}
      description={t("devices.delete_hint")}
      okText={t("devices.delete")}
      cancelText={t("common.cancel")}
      okButtonProps={{ danger: true }}
      onConfirm={() => remove.mutate()}
    >
      <Button danger loading={remove.isPending}>
        {t("devices.delete")}
      </Button>
    </Popconfirm>
  );
}
