import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { accountingQuery } from "~/shared/data/accounting";
import { useActiveWarnings } from "~/shared/data/active-warnings";
import { devicesSummaryQuery } from "~/shared/data/devices";
import { useMay } from "~/shared/session/session";

/** Four numbers that say how the city is: things, devices, readings, warnings. */
export function Tiles({ shown }: { shown: number }) {
  const { t } = useTranslation();
  const mayDevices = useMay("device.read");
  const mayIntake = useMay("intake.read");
  const { data: devices } = useQuery({ ...devicesSummaryQuery, enabled: mayDevices });
  const { data: accounting } = useQuery({ ...accountingQuery, enabled: mayIntake });
  const rate = useRate(accounting?.total.stored, accounting?.at);
  const mayWarnings = useMay("warning.read");
  const warnings = useActiveWarnings((state) => state.list);
  const grave = warnings.filter((warning) => warning.severity === "red" || warning.severity === "orange").length;

  return (
    <div className="tiles">
      <div className="tile">
        <b className="num">{shown.toLocaleString()}</b>
        <span>{t("map.entities")}</span>
      </div>
      {devices && (
        <Link to="/devices" search={{ online: "online" }} className="tile">
          <b className="num">
            {devices.online.toLocaleString()} <small>/ {devices.total.toLocaleString()}</small>
          </b>
          <span>{t("map.devices_online")}</span>
        </Link>
      )}
      {accounting && (
        <Link to="/accounting" className="tile">
          <b className="num">
            {rate === null ? "–" : rate.toLocaleString(undefined, { maximumFractionDigits: rate < 10 ? 1 : 0 })} <small>/s</small>
          </b>
          <span>{t("map.readings")}</span>
        </Link>
      )}
      {mayWarnings && <Link to="/warnings" search={{ state: "active" }} className={grave > 0 ? "tile alarmed" : "tile"}>
        <b className="num" data-testid="active-warning-count">
          {warnings.length.toLocaleString()}
        </b>
        <span>{t("map.active_warnings")}</span>
      </Link>}
    </div>
  );
}

/** Growth of a counter per second between its two latest values. */
function useRate(count: number | undefined, at: string | undefined): number | null {
  const before = useRef<{ count: number; at: number } | null>(null);
  const [rate, setRate] = useState<number | null>(null);
  useEffect(() => {
    if (count === undefined || at === undefined) return;
    const now = Date.parse(at);
    const last = before.current;
    if (last && now - last.at < 900) return;
    if (last && count >= last.count) setRate(((count - last.count) * 1000) / (now - last.at));
    before.current = { count, at: now };
  }, [count, at]);
  return rate;
}
