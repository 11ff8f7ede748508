import type { StyleSpecification } from "maplibre-gl";
import type { Language } from "~/shared/i18n/i18n";
import type { Theme } from "~/shared/theme/theme";

const FONT = ["Noto Sans SC Variable"];

interface Ink {
  ground: string;
  district: string;
  districtLine: string;
  water: string;
  waterLine: string;
  park: string;
  building: string;
  buildingLine: string;
  street: string;
  arterial: string;
  ring: string;
  casing: string;
  label: string;
  waterLabel: string;
  roadLabel: string;
  labelHalo: string;
}

const INKS: Record<Theme, Ink> = {
  dark: {
    ground: "#081120",
    district: "#0d1b30",
    districtLine: "#35557f",
    water: "#114a78",
    waterLine: "#2a78ad",
    park: "#12362f",
    building: "#172a45",
    buildingLine: "#233d5e",
    street: "#1b3050",
    arterial: "#2e5486",
    ring: "#4a7fbd",
    casing: "#081120",
    label: "#c9d8ec",
    waterLabel: "#8fcdf2",
    roadLabel: "#8da4c4",
    labelHalo: "#081120",
  },
  light: {
    ground: "#e9eef4",
    district: "#f3f6fa",
    districtLine: "#a9b9cd",
    water: "#b7d8ef",
    waterLine: "#8fbfe0",
    park: "#cfe6d2",
    building: "#dde4ec",
    buildingLine: "#cbd5e1",
    street: "#ffffff",
    arterial: "#ffffff",
    ring: "#fff6e3",
    casing: "#c3cfdd",
    label: "#26384f",
    waterLabel: "#22669a",
    roadLabel: "#586b84",
    labelHalo: "#ffffff",
  },
};

/** Colour of the map's ground; the page behind the map has it too, so that nothing flashes. */
export function groundColour(theme: Theme): string {
  return INKS[theme].ground;
}

/** The name in the reader's language, as a style expression. */
export function nameExpression(language: Language): unknown[] {
  return language === "en" ? ["coalesce", ["get", "name_en"], ["get", "name"]] : ["coalesce", ["get", "name"], ["get", "name_en"]];
}

/**
 * The base map's style. It names neither glyphs nor sprites: MapLibre then draws all text with the page's own fonts,
 * and nothing is asked of any other server.
 */
export function baseStyle(data: GeoJSON.GeoJSON, theme: Theme, language: Language): StyleSpecification {
  const ink = INKS[theme];
  const name = nameExpression(language);
  const roadWidth = (at11: number, at16: number) => ["interpolate", ["exponential", 1.5], ["zoom"], 11, at11, 16, at16];
  const isRoad = (category: string[]) => ["all", ["==", ["get", "kind"], "road"], ["in", ["get", "category"], ["literal", category]]];
  const main = ["expressway", "ring"];
  const middle = ["arterial", "embankment"];
  const text = (size: unknown, extra: object = {}) => ({
    "text-field": name,
    "text-font": FONT,
    "text-size": size,
    "text-max-width": 8,
    ...extra,
  });
  const halo = { "text-halo-color": ink.labelHalo, "text-halo-width": 1.4, "text-halo-blur": 0.4 };
  const layers = [
    { id: "ground", type: "background", paint: { "background-color": ink.ground } },
    { id: "district", type: "fill", source: "base", filter: ["==", ["get", "kind"], "district"], paint: { "fill-color": ink.district } },
    { id: "park", type: "fill", source: "base", filter: ["==", ["get", "kind"], "park"], paint: { "fill-color": ink.park } },
    {
      id: "water",
      type: "fill",
      source: "base",
      filter: ["in", ["get", "kind"], ["literal", ["river", "lake"]]],
      paint: { "fill-color": ink.water, "fill-outline-color": ink.waterLine },
    },
    {
      id: "building",
      type: "fill",
      source: "base",
      minzoom: 12.5,
      filter: ["==", ["get", "kind"], "building"],
      paint: {
        "fill-color": ink.building,
        "fill-outline-color": ink.buildingLine,
        "fill-opacity": ["interpolate", ["linear"], ["zoom"], 12.5, 0, 13.5, 1],
      },
    },
    {
      id: "street",
      type: "line",
      source: "base",
      minzoom: 11,
      filter: isRoad(["street"]),
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": ink.street, "line-width": roadWidth(0.5, 7), "line-opacity": ["interpolate", ["linear"], ["zoom"], 11, 0.35, 13, 1] },
    },
    {
      id: "road-casing",
      type: "line",
      source: "base",
      filter: isRoad([...middle, ...main]),
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": ink.casing, "line-width": roadWidth(2.6, 18) },
    },
    {
      id: "arterial",
      type: "line",
      source: "base",
      filter: isRoad(middle),
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": ink.arterial, "line-width": roadWidth(1.3, 13) },
    },
    {
      id: "ring",
      type: "line",
      source: "base",
      filter: isRoad(main),
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": ink.ring, "line-width": roadWidth(2, 16) },
    },
    {
      id: "district-line",
      type: "line",
      source: "base",
      filter: ["==", ["get", "kind"], "district"],
      paint: { "line-color": ink.districtLine, "line-width": 1.1, "line-dasharray": [4, 3] },
    },
    {
      id: "road-name",
      type: "symbol",
      source: "base",
      minzoom: 12.6,
      filter: isRoad([...middle, ...main]),
      layout: text(["interpolate", ["linear"], ["zoom"], 12, 10, 16, 13], { "symbol-placement": "line", "symbol-spacing": 420 }),
      paint: { "text-color": ink.roadLabel, ...halo },
    },
    {
      id: "river-name",
      type: "symbol",
      source: "base",
      filter: ["all", ["==", ["get", "kind"], "river"], ["has", "name"]],
      layout: text(13, { "text-letter-spacing": 0.25 }),
      paint: { "text-color": ink.waterLabel, ...halo },
    },
    {
      id: "place-name",
      type: "symbol",
      source: "base",
      minzoom: 11.6,
      filter: ["all", ["==", ["get", "kind"], "label"], [">", ["get", "rank"], 2]],
      layout: text(11.5),
      paint: { "text-color": ink.roadLabel, ...halo },
    },
    {
      id: "district-name",
      type: "symbol",
      source: "base",
      maxzoom: 14.5,
      filter: ["all", ["==", ["get", "kind"], "label"], ["<=", ["get", "rank"], 2]],
      layout: text(["interpolate", ["linear"], ["zoom"], 9.5, 12, 13, 17], { "text-letter-spacing": 0.12 }),
      paint: { "text-color": ink.label, ...halo },
    },
  ];
  return {
    version: 8,
    sources: { base: { type: "geojson", data, attribution: "" } },
    layers: layers as StyleSpecification["layers"],
  };
}

/** Layers whose text follows the language. */
export const NAMED_LAYERS = ["road-name", "river-name", "place-name", "district-name"];
