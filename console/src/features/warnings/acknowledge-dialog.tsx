import { type ButtonProps, Input, Modal } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { WarningView } from "~/shared/data/keys";
import { useWarningDecision } from "~/shared/data/warnings";
import { type Language, pick } from "~/shared/i18n/i18n";
import { problemText } from "~/shared/ui/states";

export function AcknowledgeDialog({ warning, onDone }: { warning: WarningView | null; onDone: () => void }) {
  const { t, i18n } = useTranslation();
  const [note, setNote] = useState("");
  const decision = useWarningDecision();
  const { reset } = decision;

  useEffect(() => {
    setNote("");
    reset();
  }, [warning?.id, reset]);

  const confirm = () => {
    if (warning) decision.mutate({ kind: "acknowledge", id: warning.id, note }, { onSuccess: onDone });
  };

  return (
    <Modal
      open={warning !== null}
      title={t("warnings.acknowledge")}
      okText={t("warnings.acknowledge")}
      cancelText={t("common.cancel")}
      confirmLoading={decision.isPending}
      okButtonProps={{ "data-testid": "acknowledge-confirm" } as ButtonProps}
      onOk={confirm}
      onCancel={onDone}
      destroyOnHidden
    >
      <p style={{ marginBottom: 12 }}>{pick(warning?.headline, i18n.language as Language)}</p>
      <Input.TextArea
        autoFocus
        rows={3}
        maxLength={4000}
        value={note}
        placeholder={t("warnings.note")}
        aria-label={t("warnings.note")}
        data-testid="acknowledge-note"
        onChange={(event) => setNote(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) confirm();
        }}
      />
      {decision.error && (
        <p role="alert" style={{ color: "var(--bad)", marginTop: 10 }}>
          {problemText(decision.error, t)}
        </p>
      )}
    </Modal>
  );
}
