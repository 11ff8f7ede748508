import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Form, Input, InputNumber, Modal, Popconfirm, Select, Table } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { useSession } from "~/shared/session/session";
import { Age, Instant } from "~/shared/ui/age";
import { ErrorState, problemText } from "~/shared/ui/states";
import { SecretDialog } from "./secret-dialog";

type TokenView = Schemas["TokenView"];

/** Tokens by which programs speak; each can do no more than who makes it. */
export function TokensTab() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const actions = useSession((state) => state.session?.principal.permissions ?? []).map((permission) => permission.action);
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const [form] = Form.useForm<{ name: string; actions: string[]; expires_in_days: number }>();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["tokens"],
    queryFn: () => answer(api.GET("/api/v1/tokens", { params: { query: { limit: 1000 } } })),
  });
  const again = () => void client.invalidateQueries({ queryKey: ["tokens"] });
  const onError = (problem: unknown) => void message.error(problemText(problem, t));
  const make = useMutation({
    mutationFn: (body: Schemas["TokenNew"]) => answer(api.POST("/api/v1/tokens", { body })),
    onSuccess: (made) => {
      setMaking(false);
      setSecret(made.secret);
      again();
    },
    onError,
  });
  const revoke = useMutation({
    mutationFn: (id: string) => answer(api.DELETE("/api/v1/tokens/{token_id}", { params: { path: { token_id: id } } })),
    onSuccess: again,
    onError,
  });
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;

  return (
    <>
      <div className="toolbar">
        <Button type="primary" onClick={() => setMaking(true)} data-testid="new-token">
          {t("admin.new_token")}
        </Button>
      </div>
      <Table<TokenView>
        rowKey="id"
        size="middle"
        loading={isPending}
        dataSource={data?.items ?? []}
        pagination={false}
        columns={[
          { title: t("admin.name"), dataIndex: "name" },
          { title: t("admin.may"), key: "may", render: (_, token) => token.permissions.map((permission) => permission.action).join(", ") },
          { title: t("admin.last_used"), key: "used", width: 140, render: (_, token) => <Age at={token.last_used_at} everyMs={30_000} /> },
          { title: t("admin.expires"), key: "expires", width: 150, render: (_, token) => <Instant at={token.expires_at} /> },
          {
            key: "act",
            width: 120,
            align: "right",
            render: (_, token) =>
              token.revoked_at ? (
                <span className="pill">{t("admin.revoked")}</span>
              ) : (
                <Popconfirm title={t("admin.revoke_ask")} okText={t("admin.revoke")} cancelText={t("common.cancel")} onConfirm={() => revoke.mutate(token.id)}>
                  <Button size="small" danger>
                    {t("admin.revoke")}
                  </Button>
                </Popconfirm>
              ),
          },
        ]}
      />
      <Modal
        open={making}
        title={t("admin.new_token")}
        okText={t("common.save")}
        cancelText={t("common.cancel")}
        confirmLoading={make.isPending}
        onOk={() => form.submit()}
        onCancel={() => setMaking(false)}
        destroyOnHidden
      >
        <Form
          form={form}
          layout="vertical"
          preserve={false}
          initialValues={{ expires_in_days: 90 }}
          onFinish={({ name, actions: chosen, expires_in_days }) =>
            make.mutate({ name, expires_in_days, permissions: chosen.map((action) => ({ action })) })
          }
        >
          <Form.Item name="name" label={t("admin.name")} rules={[{ required: true, message: t("common.required") }]}>
            <Input maxLength={200} />
          </Form.Item>
          <Form.Item name="actions" label={t("admin.may")} rules={[{ required: true, message: t("common.required") }]}>
            <Select mode="multiple" options={[...new Set(actions)].sort().map((value) => ({ value, label: value }))} />
          </Form.Item>
          <Form.Item name="expires_in_days" label={t("admin.days")}>
            <InputNumber min={1} max={3660} />
          </Form.Item>
        </Form>
      </Modal>
      <SecretDialog secret={secret} title={t("admin.token")} onClose={() => setSecret(null)} />
    </>
  );
}
