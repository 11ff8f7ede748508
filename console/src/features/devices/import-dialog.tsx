import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Button, Modal, Table } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { fetchRaw, type Schemas } from "~/shared/api/client";
import { KEY } from "~/shared/data/keys";
import { downloadCsv } from "~/shared/ui/csv";
import { problemText } from "~/shared/ui/states";

type Result = Schemas["BulkResult"];

/** Register many devices from a file: first a trial that changes nothing, then in earnest. */
export function ImportDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const send = useMutation({
    mutationFn: async ({ dryRun }: { dryRun: boolean }): Promise<Result> => {
      if (!file) throw new Error(t("devices.no_file"));
      const type = /\.(ndjson|jsonl)$/i.test(file.name) ? "application/x-ndjson" : "text/csv";
      const response = await fetchRaw(`/api/v1/devices/bulk?dry_run=${dryRun}`, {
        method: "POST",
        body: file,
        headers: { "Content-Type": type },
      });
      return (await response.json()) as Result;
    },
    onSuccess: (result) => {
      if (!result.dry_run) void client.invalidateQueries({ queryKey: [KEY.devices] });
    },
  });
  const result = send.data;
  const secrets = result?.lines.filter((line) => line.secret) ?? [];
  const failed = result?.lines.filter((line) => line.result === "failed") ?? [];
  const close = () => {
    setFile(null);
    send.reset();
    onClose();
  };

  return (
    <Modal
      open={open}
      title={t("devices.import")}
      width={720}
      onCancel={close}
      footer={[
        <Button key="close" onClick={close}>
          {t("common.close")}
        </Button>,
        <Button key="try" disabled={!file} loading={send.isPending} onClick={() => send.mutate({ dryRun: true })}>
          {t("devices.import_try")}
        </Button>,
        <Button key="do" type="primary" disabled={!file} loading={send.isPending} onClick={() => send.mutate({ dryRun: false })}>
          {t("devices.import_do")}
        </Button>,
      ]}
    >
      <p style={{ marginBottom: 12 }}>{t("devices.import_hint")}</p>
      <label className="file-pick">
        <span className="button">{t("devices.choose_file")}</span>
        <span className={file ? "truncate" : "muted"}>{file?.name ?? t("devices.no_file")}</span>
        <input
          type="file"
          className="visually-hidden"
          accept=".csv,.ndjson,.jsonl,text/csv,application/x-ndjson"
          aria-label={t("devices.file")}
          data-testid="import-file"
          onChange={(event) => {
            setFile(event.target.files?.[0] ?? null);
            send.reset();
          }}
        />
      </label>
      {send.error && (
        <p role="alert" style={{ color: "var(--bad)", marginTop: 12 }}>
          {problemText(send.error, t)}
        </p>
      )}
      {result && (
        <div style={{ marginTop: 14 }} data-testid="import-result">
          <p className="row" style={{ flexWrap: "wrap", marginBottom: 10 }}>
            {result.dry_run && <span className="pill warn">{t("devices.trial")}</span>}
            {t("devices.import_result", {
              total: result.total,
              created: result.created,
              updated: result.updated,
              unchanged: result.unchanged,
              failed: result.failed,
            })}
          </p>
          {secrets.length > 0 && (
            <p style={{ marginBottom: 10 }}>
              {t("devices.import_secrets")}{" "}
              <Button size="small" onClick={() => downloadCsv("device-secrets", secrets.map(({ id, secret }) => ({ id, secret })))}>
                {t("devices.save_secrets")}
              </Button>
            </p>
          )}
          {failed.length > 0 && (
            <Table
              size="small"
              rowKey="line"
              pagination={{ pageSize: 8, showSizeChanger: false }}
              dataSource={failed}
              columns={[
                { title: t("devices.line"), dataIndex: "line", width: 70 },
                { title: "ID", dataIndex: "id", width: 180, ellipsis: true },
                { title: t("devices.why"), dataIndex: "message", render: (text: string | null, line) => text ?? line.code },
              ]}
            />
          )}
        </div>
      )}
    </Modal>
  );
}
