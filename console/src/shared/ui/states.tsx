import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ApiProblem } from "~/shared/api/client";
import { Icon } from "./icon";

/** Nothing to show, and why that may be. */
export function EmptyState({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state-block" data-testid="empty-state">
      <svg width="56" height="44" viewBox="0 0 56 44" fill="none" stroke="var(--text-3)" strokeWidth="1.600" aria-hidden="true">
        <path d="M6 26 14 8h28l8 18v12H6V26Zm0 0h13c1 4 4 6 9 6s8-2 9-6h13" strokeLinejoin="round" />
      </svg>
      <strong>{title}</strong>
      {children && <div className="muted">{children}</div>}
    </div>
  );
}

export function LoadingState() {
  const { t } = useTranslation();
  return (
    <div className="state-block" role="status">
      <span className="spinner" aria-hidden="true" />
      <span className="muted">{t("common.loading")}</span>
    </div>
  );
}

/** What went wrong in the server's own words, and a way on. */
export function ErrorState({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation();
  const problem = error instanceof ApiProblem ? error : null;
  const denied = problem?.status === 403;
  return (
    <div className="state-block" role="alert" data-testid="error-state">
      <span className="state-icon">
        <Icon name={denied ? "admin" : "warning"} size={30} />
      </span>
      <strong>{denied ? t("common.denied") : t("common.failed")}</strong>
      <div className="muted">{problemText(error, t)}</div>
      {problem && problem.status > 0 && <code className="mono muted">{problem.code}</code>}
      {retry && !denied && (
        <button type="button" className="button" onClick={retry}>
          <Icon name="refresh" size={16} />
          {t("common.retry")}
        </button>
      )}
    </div>
  );
}

/** An error as one sentence. */
export function problemText(error: unknown, t: (key: string) => string): string {
  if (error instanceof ApiProblem) {
    if (error.status === 0) return t("common.no_answer");
    const fields = error.fields.map((field) => `${field.where}: ${field.message}`).join("; ");
    return fields ? `${error.message} (${fields})` : error.message;
  }
  return error instanceof Error ? error.message : String(error);
}
