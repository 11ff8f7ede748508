import type { LiveEntity } from "~/shared/live/entities";
import type { Theme } from "~/shared/theme/theme";
import { colourOf, hexToRgb, lookOf, SHAPES } from "./looks";
import { FLAG_SELECTED, FLAG_STALE, STRIDE } from "./points-layer";

export const SEVERITIES = ["blue", "yellow", "orange", "red"] as const;

export interface PointsInput {
  entities: Iterable<LiveEntity>;
  size: number;
  hidden: ReadonlySet<string>;
  selected: string | null;
  theme: Theme;
  colourBy: "type" | "state";
  now: number;
  staleAfterMs: number;
}

export interface Points {
  buffer: ArrayBuffer;
  count: number;
  origin: [number, number];
  halos: boolean;
  /** Ids and Mercator offsets in drawing order, to find what lies under the pointer. */
  ids: string[];
  positions: Float32Array;
}

const STATE_COLOURS: Record<Theme, Record<string, string>> = {
  dark: { normal: "#3ecf8e", stale: "#7b8ba3", blue: "#5aa2ff", yellow: "#f4cf2f", orange: "#ff9a3d", red: "#ff7070" },
  light: { normal: "#0a7a4b", stale: "#8191a8", blue: "#1863cf", yellow: "#d9a800", orange: "#e06a00", red: "#d41f1f" },
};

export function stateColour(state: string, theme: Theme): string {
  const colours = STATE_COLOURS[theme];
  return colours[state] ?? colours.normal ?? "#888888";
}

export function severityNumber(state: string | null): number {
  return SEVERITIES.indexOf(state as (typeof SEVERITIES)[number]) + 1;
}

export function isStale(observedAt: number | null, now: number, staleAfterMs: number): boolean {
  return observedAt !== null && now - observedAt > staleAfterMs;
}

/** Longitude and latitude to Mercator units, 0 to 1. */
export function mercator(lon: number, lat: number): [number, number] {
  const sine = Math.sin((Math.max(-85.05, Math.min(85.05, lat)) * Math.PI) / 180);
  return [(lon + 180) / 360, 0.5 - (0.25 * Math.log((1 + sine) / (1 - sine))) / Math.PI];
}

/** Lay all visible entities out for the points layer: ordinary ones first, warned ones over them, the selected one on top. */
export function layOut(input: PointsInput): Points {
  const buffer = new ArrayBuffer(input.size * STRIDE);
  const floats = new Float32Array(buffer);
  const bytes = new Uint8Array(buffer);
  const ids: string[] = [];
  let origin: [number, number] | null = null;
  let halos = false;
  const late: LiveEntity[] = [];
  const looks = new Map<string, { rgb: [number, number, number]; shape: number; scale: number }>();

  const put = (entity: LiveEntity) => {
    const [x, y] = mercator(entity.lon, entity.lat);
    origin ??= [x, y];
    let look = looks.get(entity.type);
    if (!look) {
      const { shape, scale } = lookOf(entity.type);
      look = { rgb: hexToRgb(colourOf(entity.type, input.theme)), shape: SHAPES.indexOf(shape), scale: Math.round(scale * 64) };
      looks.set(entity.type, look);
    }
    const stale = isStale(entity.observedAt, input.now, input.staleAfterMs);
    const halo = severityNumber(entity.state);
    const rgb =
      input.colourBy === "state"
        ? hexToRgb(stateColour(halo > 0 ? (entity.state as string) : stale ? "stale" : "normal", input.theme))
        : look.rgb;
    const index = ids.length;
    floats[index * 4] = x - origin[0];
    floats[index * 4 + 1] = y - origin[1];
    const at = index * STRIDE + 8;
    bytes[at] = rgb[0];
    bytes[at + 1] = rgb[1];
    bytes[at + 2] = rgb[2];
    bytes[at + 3] = 255;
    bytes[at + 4] = look.shape;
    bytes[at + 5] = halo;
    bytes[at + 6] = (stale ? FLAG_STALE : 0) | (entity.id === input.selected ? FLAG_SELECTED : 0);
    bytes[at + 7] = look.scale;
    if (halo > 0) halos = true;
    ids.push(entity.id);
  };

  for (const entity of input.entities) {
    const important = severityNumber(entity.state) > 0 || entity.id === input.selected;
    if (important) late.push(entity);
    else if (!input.hidden.has(entity.type)) put(entity);
  }
  const rank = (entity: LiveEntity) => (entity.id === input.selected ? 9 : severityNumber(entity.state));
  late.sort((a, b) => rank(a) - rank(b));
  for (const entity of late) if (!input.hidden.has(entity.type) || entity.id === input.selected) put(entity);

  const count = ids.length;
  const positions = new Float32Array(count * 2);
  for (let index = 0; index < count; index += 1) {
    positions[index * 2] = floats[index * 4] ?? 0;
    positions[index * 2 + 1] = floats[index * 4 + 1] ?? 0;
  }
  return { buffer, count, origin: origin ?? [0, 0], halos, ids, positions };
}

/** The topmost point within `radiusPx` of a place, or null. */
export function nearest(points: Points, lon: number, lat: number, zoom: number, radiusPx: number): string | null {
  const [x, y] = mercator(lon, lat);
  const dx = x - points.origin[0];
  const dy = y - points.origin[1];
  const radius = radiusPx / (512 * 2 ** zoom);
  let best = radius * radius;
  let found: string | null = null;
  for (let index = points.count - 1; index >= 0; index -= 1) {
    const ex = (points.positions[index * 2] ?? 0) - dx;
    const ey = (points.positions[index * 2 + 1] ?? 0) - dy;
    const distance = ex * ex + ey * ey;
    if (distance < best) {
      best = distance;
      found = points.ids[index] ?? null;
    }
  }
  return found;
}
