import { useMutation } from "@tanstack/react-query";
import { App, Button, Popconfirm } from "antd";
import { useTranslation } from "react-i18next";
import { answer, api } from "~/shared/api/client";
import { problemText } from "~/shared/ui/states";

/** Issue a new secret, shown once, or take the present one away. */
export function Credentials({ deviceId }: { deviceId: string }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const path = { device_id: deviceId };
  const onError = (error: unknown) => void message.error(problemText(error, t));
  const issue = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/devices/{device_id}/credentials", { params: { path }, body: {} })),
    onError,
  });
  const revoke = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/devices/{device_id}/credentials", { params: { path } })),
    onSuccess: () => {
      issue.reset();
      void message.success(t("devices.revoked"));
    },
    onError,
  });
  return (
    <section className="card" aria-label={t("devices.credentials")}>
      <div className="card-head">{t("devices.credentials")}</div>
      <div className="card-body" style={{ display: "grid", gap: 12 }}>
        <p className="muted">{t("devices.credentials_hint")}</p>
        {issue.data?.secret && (
          <div role="status">
            <code className="secret" data-testid="device-secret">
              {issue.data.secret}
            </code>
            <p style={{ marginTop: 6, color: "var(--gold)" }}>{t("devices.shown_once")}</p>
          </div>
        )}
        <div className="row">
          <Popconfirm title={t("devices.issue_ask")} okText={t("devices.issue")} cancelText={t("common.cancel")} onConfirm={() => issue.mutate()}>
            <Button loading={issue.isPending} data-testid="issue-credentials">
              {t("devices.issue")}
            </Button>
          </Popconfirm>
          <Popconfirm title={t("devices.revoke_ask")} okText={t("devices.revoke")} cancelText={t("common.cancel")} okButtonProps={{ danger: true }} onConfirm={() => revoke.mutate()}>
            <Button danger loading={revoke.isPending}>
              {t("devices.revoke")}
            </Button>
          </Popconfirm>
        </div>
      </div>
    </section>
  );
}
