import "maplibre-gl/dist/maplibre-gl.css";
import "./city-map.css";
import { Map as MapLibreMap, NavigationControl, ScaleControl, setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import { useEffect, useRef } from "react";
import type { Language } from "~/shared/i18n/i18n";
import type { Theme } from "~/shared/theme/theme";
import { baseStyle, groundColour, NAMED_LAYERS, nameExpression } from "./base-style";

// MapLibre finds its worker at run time, which a bundler cannot see.
setWorkerUrl(workerUrl);

export interface View {
  lon: number;
  lat: number;
  zoom: number;
}

interface CityMapProps {
  base: GeoJSON.FeatureCollection;
  theme: Theme;
  language: Language;
  label: string;
  view?: View | null;
  interactive?: boolean;
  /** Called when the style is there, also after each change of theme; own layers are (re-)added here. */
  onStyle: (map: MapLibreMap) => void;
  onReady?: (map: MapLibreMap) => (() => void) | undefined;
}

const EMPTY_BOX: [number, number, number, number] = [73, 18, 135, 53];

/** The base city, without any live entity. It asks nothing of any other server. */
export function CityMap({ base, theme, language, label, view, interactive = true, onStyle, onReady }: CityMapProps) {
  const holder = useRef<HTMLDivElement>(null);
  const mapRef = useRef<MapLibreMap | null>(null);
  const latest = useRef({ theme, language, label, onStyle, onReady, view });
  latest.current = { theme, language, label, onStyle, onReady, view };

  useEffect(() => {
    let map: MapLibreMap | null = null;
    let cleanup: (() => void) | undefined;
    let gone = false;
    void loadLabelFont(base).then(() => {
      if (gone || !holder.current) return;
      const { theme: startTheme, language: startLanguage, view: start } = latest.current;
      map = new MapLibreMap({
        container: holder.current,
        style: baseStyle(base, startTheme, startLanguage),
        ...(start
          ? { center: [start.lon, start.lat] as [number, number], zoom: start.zoom }
          : { bounds: boxOf(base), fitBoundsOptions: { padding: 24 } }),
        interactive,
        attributionControl: false,
        localIdeographFontFamily: "'Noto Sans SC Variable', sans-serif",
        canvasContextAttributes: { antialias: false },
        pixelRatio: isSoftwareRendered() ? 1 : Math.min(2, globalThis.devicePixelRatio || 1),
        fadeDuration: isSoftwareRendered() ? 0 : 200,
        maxPitch: 60,
        dragRotate: !isSoftwareRendered(),
        maxZoom: 19,
      });
      mapRef.current = map;
      if (interactive) {
        map.addControl(new NavigationControl({ showCompass: !isSoftwareRendered() }), "bottom-right");
        map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-right");
      }
      map.getCanvas().setAttribute("aria-label", latest.current.label);
      map.on("style.load", () => map && latest.current.onStyle(map));
      cleanup = latest.current.onReady?.(map);
    });
    return () => {
      gone = true;
      cleanup?.();
      map?.remove();
      mapRef.current = null;
    };
    // The map is built once for a base city; everything else is changed on the living map below.
  }, [base, interactive]);

  useEffect(() => mapRef.current?.getCanvas().setAttribute("aria-label", label), [label]);

  const shownTheme = useRef(theme);
  useEffect(() => {
    const map = mapRef.current;
    if (!map || shownTheme.current === theme) return;
    shownTheme.current = theme;
    map.setStyle(baseStyle(base, theme, latest.current.language), { diff: false });
  }, [base, theme]);

  useEffect(() => {
    const map = mapRef.current;
    if (!map) return;
    const rename = () => {
      for (const layer of NAMED_LAYERS) {
        if (map.getLayer(layer)) map.setLayoutProperty(layer, "text-field", nameExpression(latest.current.language) as never);
      }
    };
    if (map.isStyleLoaded()) rename();
    else void map.once("idle", rename);
  }, [language]);

  return <div ref={holder} className="city-map" style={{ background: groundColour(theme) }} />;
}

/** Canvas text is drawn before a web font's slice is loaded, so every letter of the labels is asked for first. */
async function loadLabelFont(base: GeoJSON.FeatureCollection): Promise<void> {
  const letters = new Set("0123456789");
  for (const feature of base.features) {
    for (const key of ["name", "name_en"]) {
      const name: unknown = feature.properties?.[key];
      if (typeof name === "string") for (const letter of name) letters.add(letter);
    }
  }
  try {
    await document.fonts.load("16px 'Noto Sans SC Variable'", [...letters].join(""));
  } catch {
    // Without the font the map shows its labels in whatever the machine has.
  }
}

export function boxOf(base: GeoJSON.FeatureCollection): [number, number, number, number] {
  if (base.bbox && base.bbox.length === 4) return base.bbox as [number, number, number, number];
  return EMPTY_BOX;
}

let softwareRendered: boolean | undefined;

/** Whether WebGL is emulated on the CPU (virtual desktops): then the map does without pulses, pitch and fine pixels. */
export function isSoftwareRendered(): boolean {
  if (softwareRendered === undefined) {
    const gl = document.createElement("canvas").getContext("webgl2");
    const info = gl?.getExtension("WEBGL_debug_renderer_info");
    const renderer = gl && info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
    softwareRendered = !gl || /swiftshader|llvmpipe|software/i.test(renderer);
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return softwareRendered;
}

/** Whether this browser can draw the map at all. */
export function canDrawMap(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}
