import { Modal } from "antd";
import { useTranslation } from "react-i18next";

/** A secret that is shown this once. */
export function SecretDialog({ secret, title, onClose }: { secret: string | null; title: string; onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Modal open={secret !== null} title={title} footer={null} onCancel={onClose} destroyOnHidden>
      <code
        className="mono"
        data-testid="secret"
        style={{ display: "block", padding: 14, border: "1px dashed var(--gold)", borderRadius: 6, fontSize: 16, overflowWrap: "anywhere", userSelect: "all" }}
      >
        {secret}
      </code>
      <p style={{ marginTop: 10, color: "var(--gold)" }}>{t("admin.shown_once")}</p>
    </Modal>
  );
}
