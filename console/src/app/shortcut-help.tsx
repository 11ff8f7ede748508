import type { Ref } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "~/shared/ui/icon";
import { SHORTCUTS } from "./use-shortcuts";

export function ShortcutHelp({ ref }: { ref: Ref<HTMLDialogElement> }) {
  const { t } = useTranslation();
  return (
    <dialog className="sheet" ref={ref} aria-labelledby="shortcut-title" data-testid="shortcut-help">
      <div className="sheet-head">
        <h2 id="shortcut-title">{t("shortcuts.title")}</h2>
        <form method="dialog">
          <button type="submit" className="icon-button" aria-label={t("common.close")}>
            <Icon name="close" />
          </button>
        </form>
      </div>
      <div className="shortcuts">
        {SHORTCUTS.map(({ keys, text }) => (
          <div key={text} style={{ display: "contents" }}>
            <span className="row">
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </span>
            <span>{t(`shortcuts.${text}`)}</span>
          </div>
        ))}
      </div>
    </dialog>
  );
}
