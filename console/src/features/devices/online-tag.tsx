import { useTranslation } from "react-i18next";
import type { DeviceView } from "~/shared/data/keys";

/** Online, offline, never heard of, or switched off; by word and sign. */
export function OnlineTag({ device }: { device: DeviceView }) {
  const { t } = useTranslation();
  const state = !device.enabled ? "disabled" : device.online == null ? "never" : device.online ? "online" : "offline";
  const tone = { online: "good", offline: "bad", never: "", disabled: "" }[state];
  const sign = { online: "●", offline: "○", never: "–", disabled: "✕" }[state];
  return (
    <span className={`pill ${tone}`} data-testid="device-state" data-state={state}>
      <span aria-hidden="true">{sign}</span>
      {t(`devices.${state}`)}
    </span>
  );
}
