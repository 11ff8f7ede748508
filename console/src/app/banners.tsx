import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { readinessQuery } from "~/shared/data/system";
import { reconnectNow } from "~/shared/live/hub";
import { useLiveFacts } from "~/shared/live/store";
import { useSession } from "~/shared/session/session";
import { Age } from "~/shared/ui/age";
import { Icon } from "~/shared/ui/icon";

/** What concerns every page: the connection is gone, the server takes no readings, the password is still the first one. */
export function Banners() {
  const { t } = useTranslation();
  const state = useLiveFacts((facts) => facts.state);
  const lostAt = useLiveFacts((facts) => facts.lostAt);
  const mustChange = useSession((session) => session.session?.principal.must_change_password ?? false);
  const { data: health } = useQuery(readinessQuery);
  const unwell = Object.entries(health?.parts ?? {}).filter(([, part]) => part !== "ok" && part !== "running");

  return (
    <div className="banners" aria-live="polite">
      {state === "lost" && (
        <div className="banner bad" data-testid="lost-banner">
          <Icon name="warning" />
          <span>
            {t("live.banner")} <Age at={lostAt} />
          </span>
          <button type="button" className="button small" onClick={reconnectNow}>
            {t("live.now")}
          </button>
        </div>
      )}
      {health && health.status !== "ok" && (
        <div className="banner bad" data-testid="unwell-banner">
          <Icon name="warning" />
          <span>{unwell.some(([, part]) => part.includes("disk")) ? t("app.disk_full") : t("app.unwell")}</span>
          <span className="mono">{unwell.map(([name, part]) => `${name}: ${part}`).join(" · ")}</span>
        </div>
      )}
      {mustChange && (
        <div className="banner info" data-testid="password-banner">
          <Icon name="key" />
          <span>{t("profile.must_change")}</span>
          <Link to="/password" className="button small">
            {t("profile.change_password")}
          </Link>
        </div>
      )}
    </div>
  );
}
