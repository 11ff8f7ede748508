import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Form, Input, Modal, Popconfirm, Select, Table } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { answer, api, type Schemas } from "~/shared/api/client";
import { type Language, pick } from "~/shared/i18n/i18n";
import { useSession } from "~/shared/session/session";
import { Age } from "~/shared/ui/age";
import { ErrorState, problemText } from "~/shared/ui/states";
import { SecretDialog } from "./secret-dialog";

type UserView = Schemas["UserView"];

export function UsersTab() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const client = useQueryClient();
  const own = useSession((state) => state.session?.principal.id);
  const [editing, setEditing] = useState<UserView | "new" | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["users"],
    queryFn: () => answer(api.GET("/api/v1/users", { params: { query: { limit: 1000 } } })),
  });
  const again = () => void client.invalidateQueries({ queryKey: ["users"] });
  const onError = (problem: unknown) => void message.error(problemText(problem, t));
  const change = useMutation({
    mutationFn: ({ user, body }: { user: UserView; body: Schemas["UserChange"] }) =>
      answer(api.PATCH("/api/v1/users/{user_id}", { params: { path: { user_id: user.id } }, body: { version: user.version, ...body } })),
    onSuccess: again,
    onError,
  });
  const reset = useMutation({
    mutationFn: (user: UserView) => answer(api.POST("/api/v1/users/{user_id}/password", { params: { path: { user_id: user.id } } })),
    onSuccess: (made) => {
      setSecret(made.password);
      again();
    },
    onError,
  });
  if (error) return <ErrorState error={error} retry={() => void refetch()} />;

  return (
    <>
      <div className="toolbar">
        <Button type="primary" onClick={() => setEditing("new")} data-testid="new-user">
          {t("admin.new_user")}
        </Button>
      </div>
      <Table<UserView>
        rowKey="id"
        size="middle"
        loading={isPending}
        dataSource={data?.items ?? []}
        pagination={false}
        columns={[
          {
            title: t("admin.name"),
            key: "name",
            render: (_, user) => (
              <>
                <strong>{user.name}</strong> {user.display_name && <span className="muted">{user.display_name}</span>}
              </>
            ),
          },
          { title: t("admin.roles"), key: "roles", render: (_, user) => user.roles.map((role) => <span key={role} className="pill" style={{ marginRight: 4 }}>{role}</span>) },
          { title: t("admin.department"), dataIndex: "department", render: (value: string | null) => value ?? "–" },
          { title: t("admin.last_sign_in"), key: "last", width: 140, render: (_, user) => <Age at={user.last_sign_in_at} everyMs={30_000} /> },
          {
            title: t("admin.state"),
            key: "state",
            width: 110,
            render: (_, user) => <span className={user.enabled ? "pill good" : "pill"}>{user.enabled ? t("admin.enabled") : t("admin.disabled")}</span>,
          },
          {
            key: "act",
            width: 300,
            align: "right",
            render: (_, user) => (
              <span className="row" style={{ justifyContent: "flex-end" }}>
                <Button size="small" onClick={() => setEditing(user)}>
                  {t("admin.edit")}
                </Button>
                <Popconfirm title={t("admin.reset_ask")} okText={t("admin.reset")} cancelText={t("common.cancel")} onConfirm={() => reset.mutate(user)}>
                  <Button size="small">{t("admin.reset")}</Button>
                </Popconfirm>
                {user.id !== own && (
                  <Button size="small" danger={user.enabled} onClick={() => change.mutate({ user, body: { enabled: !user.enabled } })}>
                    {user.enabled ? t("admin.disable") : t("admin.enable")}
                  </Button>
                )}
              </span>
            ),
          },
        ]}
      />
      <UserDialog
        user={editing}
        onClose={() => setEditing(null)}
        onSaved={(password) => {
          setEditing(null);
          setSecret(password);
          again();
        }}
      />
      <SecretDialog secret={secret} title={t("admin.password")} onClose={() => setSecret(null)} />
    </>
  );
}

interface UserDialogProps {
  user: UserView | "new" | null;
  onClose: () => void;
  onSaved: (password: string | null) => void;
}

interface Fields {
  name: string;
  display_name?: string;
  roles: string[];
  department?: string;
}

function UserDialog({ user, onClose, onSaved }: UserDialogProps) {
  const { t, i18n } = useTranslation();
  const [form] = Form.useForm<Fields>();
  const roles = useQuery({ queryKey: ["roles"], queryFn: () => answer(api.GET("/api/v1/roles")), enabled: user !== null });
  const save = useMutation({
    mutationFn: async (fields: Fields): Promise<string | null> => {
      const body = { ...fields, display_name: fields.display_name || null, department: fields.department || null };
      if (user === "new") return (await answer(api.POST("/api/v1/users", { body }))).password ?? null;
      if (!user) return null;
      const { name: _name, ...rest } = body;
      await answer(api.PATCH("/api/v1/users/{user_id}", { params: { path: { user_id: user.id } }, body: { ...rest, version: user.version } }));
      return null;
    },
    onSuccess: onSaved,
  });
  useEffect(() => {
    if (user === null) return;
    // Said outright: a form that was open before remembers its former account's values.
    const { name = "", display_name, roles: has = ["viewer"], department }: Partial<UserView> = user === "new" ? {} : user;
    form.setFieldsValue({ name, display_name: display_name ?? "", roles: has, department: department ?? "" });
  }, [user, form]);
  return (
    <Modal
      open={user !== null}
      title={user === "new" ? t("admin.new_user") : t("admin.edit")}
      okText={t("common.save")}
      cancelText={t("common.cancel")}
      confirmLoading={save.isPending}
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
        onFinish={(fields) => save.mutate(fields)}
      >
        <Form.Item name="name" label={t("admin.name")} rules={[{ required: true, message: t("common.required") }]}>
          <Input maxLength={200} disabled={user !== "new"} autoComplete="off" />
        </Form.Item>
        <Form.Item name="display_name" label={t("admin.display_name")}>
          <Input maxLength={200} />
        </Form.Item>
        <Form.Item name="roles" label={t("admin.roles")}>
          <Select
            mode="multiple"
            options={(roles.data?.items ?? []).map((role) => ({ value: role.name, label: `${pick(role.label, i18n.language as Language)} (${role.name})` }))}
          />
        </Form.Item>
        <Form.Item name="department" label={t("admin.department")}>
          <Input maxLength={256} />
        </Form.Item>
      </Form>
      {save.error && (
        <p role="alert" style={{ color: "var(--bad)" }}>
          {problemText(save.error, t)}
        </p>
      )}
    </Modal>
  );
}
