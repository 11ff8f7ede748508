import { useTranslation } from "react-i18next";
import type { CommandView } from "~/shared/data/keys";
import { Icon, type IconName } from "./icon";

const LOOKS: Record<CommandView["state"], [string, IconName]> = {
  requested: ["", "clock"],
  sent: ["accent", "refresh"],
  acknowledged: ["accent", "check"],
  effect_seen: ["good", "check"],
  failed: ["bad", "warning"],
  timed_out: ["bad", "clock"],
  expired: ["warn", "clock"],
  cancelled: ["", "close"],
};

/** Where a command stands in its life: requested → sent → acknowledged → effect seen, or how else it ended. */
export function CommandBadge({ state }: { state: CommandView["state"] }) {
  const { t } = useTranslation();
  const [tone, icon] = LOOKS[state] ?? ["", "clock"];
  return (
    <span className={`pill ${tone}`} data-testid="command-state" data-state={state}>
      <Icon name={icon} size={13} />
      {t(`command.${state}`)}
    </span>
  );
}
