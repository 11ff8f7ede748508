/** The console's own line icons, 24 × 24, drawn with the text's colour. */
const PATHS = {
  map: "M9 4 3 6.500v13.500l6-2.500 6 2.500 6-2.500V4l-6 2.500L9 4Zm0 0v13.500m6-11v13.500",
  warning: "M12 3.500 2.500 20h19L12 3.500Zm0 6v5m0 2.700v.1",
  incident: "M5 4h14v16H5zM9 2.500v3M15 2.500v3M8.500 12l2.500 2.500 4.500-5",
  device: "M8 8h8v8H8zM12 2v6m0 8v6M2 12h6m8 0h6M5 5l1.500 1.500m11 11L19 19M5 19l1.500-1.500m11-11L19 5",
  ledger: "M5 3h14v18l-3-2-2 2-2-2-2 2-2-2-3 2V3Zm4 5h6m-6 4h6",
  rule: "M4 6h9m5 0h2M4 12h2m5 0h9M4 18h11m5 0h0M15.500 6a1.500 1.500 0 1 0 .01 0M8.500 12a1.500 1.500 0 1 0 .01 0M17.500 18a1.500 1.500 0 1 0 .01 0",
  gauge: "M4.500 18a9 9 0 1 1 15 0M12 14l4.500-5.500M12 13.500a1 1 0 1 0 .01 0",
  admin: "M12 3 4.500 6v5.500c0 4.500 3 8 7.500 9.500 4.500-1.500 7.500-5 7.500-9.500V6L12 3Zm-3 9 2.200 2.200L15.500 10",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13Zm5 11.500L21 21",
  close: "M5.500 5.500l13 13m0-13-13 13",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM4.500 20.500c1-4 4-6 7.500-6s6.500 2 7.500 6",
  language: "M4 5.500h9M8.500 3.500v2m3 0c-.8 3.800-3.200 6.700-6.700 8.300M6 8.500c1.200 2.500 3 4.200 5.500 5.300M12.500 20.500 16.800 10l4.200 10.500m-7-3h5.700",
  theme: "M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500Z",
  key: "M15 4a5 5 0 1 0 0 10 5 5 0 0 0 0-10Zm-3.500 8.500L3.500 20.500M6.500 17.500l2 2",
  exit: "M14 4H5v16h9m-4-8h11m-4-4 4 4-4 4",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm-2.500 6.500c.2-1.400 1.200-2.200 2.600-2.200 1.500 0 2.600.9 2.600 2.300 0 2-2.700 2.200-2.700 4.200m0 2.700v.1",
  layers: "M12 3 2.500 8 12 13l9.500-5L12 3ZM3 12.500l9 4.700 9-4.700M3 16.800l9 4.700 9-4.700",
  chevron: "M6 9l6 6 6-6",
  back: "M14.500 5l-7 7 7 7",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l1.500 1.500h-15L6 17Zm4 3.500a2 2 0 0 0 4 0",
  mute: "M6 17V11c0-1.500.5-2.800 1.400-3.800M10 5.300A6 6 0 0 1 18 11v6M4.500 18.500h14M10 20.500a2 2 0 0 0 4 0M3.500 3.500l17 17",
  check: "M4.500 12.500l5 5 10-11",
  link: "M10 14a4 4 0 0 0 5.700 0l3.600-3.600a4 4 0 0 0-5.700-5.700L12.500 5.900M14 10a4 4 0 0 0-5.700 0l-3.600 3.600a4 4 0 0 0 5.700 5.700l1.100-1.200",
  download: "M12 4v11m-4.500-4L12 15.500 16.500 11M4.500 19.500h15",
  target: "M12 6.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11ZM12 2.500v4m0 11v4m9.500-9.500h-4m-11 0h-4",
  refresh: "M19.500 12a7.500 7.500 0 1 1-2.300-5.400M19.500 3.500v4h-4",
  clock: "M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17Zm0 4V12l3 2.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The Drum Tower: two roofs and the drum between them. */
export function Emblem({ size = 30 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <g fill="none" stroke="var(--accent)" strokeWidth={2} strokeLinecap="round" strokeLinejoin="round">
        <path d="M4.500 12.500C10 11.900 13.500 9.500 16 6c2.500 3.500 6 5.900 11.500 6.500" />
        <path d="M9 13v4.500M23 13v4.500" />
        <path d="M4 20.700c6-.3 10-1.400 12-3 2 1.600 6 2.700 12 3" />
        <path d="M8.500 21.500v5.500h15v-5.500" />
      </g>
      <circle cx="16" cy="24" r="2.300" fill="var(--gold)" />
    </svg>
  );
}
