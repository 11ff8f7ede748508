import { useTranslation } from "react-i18next";
import type { IncidentView } from "~/shared/data/keys";
import { Icon } from "~/shared/ui/icon";

const LOOKS = { open: ["warn", "warning"], dispatched: ["accent", "link"], closed: ["good", "check"] } as const;

export function IncidentStateTag({ incident }: { incident: IncidentView }) {
  const { t } = useTranslation();
  const [tone, icon] = LOOKS[incident.state];
  return (
    <span className={`pill ${tone}`} data-testid="incident-state" data-state={incident.state}>
      <Icon name={icon} size={13} />
      {t(`incidents.${incident.state}`)}
    </span>
  );
}
