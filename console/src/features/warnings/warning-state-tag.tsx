import { useTranslation } from "react-i18next";
import type { WarningView } from "~/shared/data/keys";
import { Icon } from "~/shared/ui/icon";

/** One of the four states, by words and icon. */
export function WarningStateTag({ warning }: { warning: WarningView }) {
  const { t } = useTranslation();
  const active = warning.state === "active";
  return (
    <span className="row" style={{ flexWrap: "wrap", gap: 5 }} data-testid="warning-state">
      <span className={active ? "pill warn" : "pill"}>
        <Icon name={active ? "warning" : "check"} size={13} />
        {t(`warnings.${warning.state}`)}
      </span>
      <span className={warning.acknowledged ? "pill good" : "pill"}>
        <Icon name={warning.acknowledged ? "check" : "bell"} size={13} />
        {warning.acknowledged ? t("warnings.acknowledged") : t("warnings.unacknowledged")}
      </span>
    </span>
  );
}
