import { useNavigate, useSearch } from "@tanstack/react-router";
import { Tabs } from "antd";
import { useTranslation } from "react-i18next";
import { useMay } from "~/shared/session/session";
import { EmptyState } from "~/shared/ui/states";
import { AuditTab } from "./audit-tab";
import { SystemTab } from "./system-tab";
import { TokensTab } from "./tokens-tab";
import { UsersTab } from "./users-tab";

/** Accounts, tokens, the audit trail and the state of the system. */
export function AdminPage() {
  const { t } = useTranslation();
  const { tab } = useSearch({ from: "/shell/desk/settings" });
  const navigate = useNavigate({ from: "/settings" });
  const mayUsers = useMay("user.manage");
  const mayTokens = useMay("token.manage");
  const mayAudit = useMay("audit.read");
  const maySystem = useMay("system.read");
  const items = [
    ...(mayUsers ? [{ key: "users", label: t("admin.users"), children: <UsersTab /> }] : []),
    ...(mayTokens ? [{ key: "tokens", label: t("admin.tokens"), children: <TokensTab /> }] : []),
    ...(mayAudit ? [{ key: "audit", label: t("admin.audit"), children: <AuditTab /> }] : []),
    ...(maySystem ? [{ key: "system", label: t("admin.system"), children: <SystemTab /> }] : []),
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.admin")}</h1>
      </div>
      {items.length === 0 ? (
        <EmptyState title={t("common.denied")} />
      ) : (
        <Tabs
          items={items}
          activeKey={items.some((item) => item.key === tab) ? tab : items[0]?.key}
          onChange={(key) => void navigate({ search: { tab: key as "users" }, replace: true })}
          destroyOnHidden
        />
      )}
    </div>
  );
}
