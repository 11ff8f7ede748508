import type { Theme } from "~/shared/theme/theme";

/** Shapes of the points on the map, by the number that the shader knows. Colour alone never tells types apart. */
export const SHAPES = ["circle", "square", "diamond", "triangle", "hexagon", "plus", "ring"] as const;
export type Shape = (typeof SHAPES)[number];

export interface Look {
  shape: Shape;
  dark: string;
  light: string;
  scale: number;
}

const KNOWN: Record<string, Look> = {
  WaterLevelObserved: { shape: "circle", dark: "#38bdf8", light: "#0277b6", scale: 1.1 },
  Pump: { shape: "square", dark: "#2dd4bf", light: "#0b7d70", scale: 1.25 },
  Gate: { shape: "diamond", dark: "#5eead4", light: "#0f766e", scale: 1.35 },
  WaterMeter: { shape: "ring", dark: "#7dd3fc", light: "#2a7ca8", scale: 0.85 },
  WeatherObserved: { shape: "triangle", dark: "#a5b4fc", light: "#4f52c4", scale: 1.25 },
  AirQualityObserved: { shape: "hexagon", dark: "#86efac", light: "#15803d", scale: 1.2 },
  NoiseLevelObserved: { shape: "triangle", dark: "#c4b5fd", light: "#7c3aed", scale: 0.95 },
  TrafficFlowObserved: { shape: "circle", dark: "#fbbf77", light: "#a85508", scale: 0.9 },
  OffStreetParking: { shape: "square", dark: "#818cf8", light: "#4338ca", scale: 1.05 },
  Vehicle: { shape: "diamond", dark: "#fde68a", light: "#8a6100", scale: 1.05 },
  Streetlight: { shape: "plus", dark: "#d6c78f", light: "#7a6a2c", scale: 0.85 },
  WasteContainer: { shape: "square", dark: "#a3b18a", light: "#586b3a", scale: 0.75 },
  EnergyMeter: { shape: "ring", dark: "#f0abfc", light: "#a21caf", scale: 0.85 },
  Camera: { shape: "triangle", dark: "#94a3b8", light: "#475569", scale: 0.95 },
  CrowdFlowObserved: { shape: "hexagon", dark: "#f9a8d4", light: "#be185d", scale: 1.1 },
};

const HUES = [200, 160, 30, 280, 330, 100, 50, 230];

/** How a type is drawn; a type that a pack adds gets a look of its own from its name, the same every time. */
export function lookOf(type: string): Look {
  const known = KNOWN[type];
  if (known) return known;
  let hash = 7;
  for (const letter of type) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  const hue = HUES[hash % HUES.length];
  return {
    shape: SHAPES[(hash >>> 4) % SHAPES.length] ?? "circle",
    dark: hslToHex(hue ?? 200, 70, 72),
    light: hslToHex(hue ?? 200, 60, 34),
    scale: 1,
  };
}

export function colourOf(type: string, theme: Theme): string {
  return lookOf(type)[theme];
}

export function hexToRgb(hex: string): [number, number, number] {
  const number = Number.parseInt(hex.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

function hslToHex(hue: number, saturation: number, lightness: number): string {
  const s = saturation / 100;
  const l = lightness / 100;
  const part = (n: number) => {
    const k = (n + hue / 30) % 12;
    const value = l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(value * 255)
      .toString(16)
      .padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}

/** Types that the base map draws already; their entities are off until somebody switches them on. */
export const DRAWN_BY_BASE = new Set(["District", "River", "Road", "Device", "Alert"]);
