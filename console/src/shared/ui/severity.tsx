import { useTranslation } from "react-i18next";

export type Severity = "blue" | "yellow" | "orange" | "red";
export const SEVERITIES_DOWN: readonly Severity[] = ["red", "orange", "yellow", "blue"];
const ROMAN: Record<Severity, string> = { red: "Ⅰ", orange: "Ⅱ", yellow: "Ⅲ", blue: "Ⅳ" };

/** A severity by shape and number as well as by colour: octagon Ⅰ, diamond Ⅱ, triangle Ⅲ, circle Ⅳ. */
export function SeverityIcon({ severity, size = 20 }: { severity: Severity; size?: number }) {
  const colour = `var(--fill-${severity})`;
  const shape = {
    red: <path d="M8 2.500h8L21.500 8v8L16 21.500H8L2.500 16V8Z" />,
    orange: <path d="M12 1.500 22.500 12 12 22.500 1.500 12Z" />,
    yellow: <path d="M12 2 23 21.500H1Z" />,
    blue: <circle cx={12} cy={12} r={10} />,
  }[severity];
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false" style={{ flex: "none" }}>
      <g fill={colour} stroke={`var(--sev-${severity})`} strokeWidth={1} strokeLinejoin="round">
        {shape}
      </g>
      <text
        x={12}
        y={severity === "yellow" ? 19 : 16.300}
        textAnchor="middle"
        fontSize={severity === "yellow" ? 10.500 : 12}
        fontWeight={700}
        fill="var(--on-fill)"
      >
        {ROMAN[severity]}
      </text>
    </svg>
  );
}

export function SeverityTag({ severity }: { severity: Severity }) {
  const { t } = useTranslation();
  return (
    <span className="severity-tag" style={{ color: `var(--sev-${severity})` }}>
      <SeverityIcon severity={severity} size={18} />
      <span>{t(`severity.${severity}`)}</span>
    </span>
  );
}
