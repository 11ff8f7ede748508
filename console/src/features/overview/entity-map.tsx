import type { Map as MapLibreMap } from "maplibre-gl";
import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { severityByEntity, useActiveWarnings } from "~/shared/data/active-warnings";
import { localName } from "~/shared/data/entities";
import { useWords } from "~/shared/data/vocabulary";
import type { Language } from "~/shared/i18n/i18n";
import { entityStore } from "~/shared/live/entities";
import { serverNow } from "~/shared/live/store";
import { boxOf, CityMap, isSoftwareRendered } from "~/shared/map/city-map";
import { hexToRgb } from "~/shared/map/looks";
import { layOut, nearest, type Points, stateColour, SEVERITIES } from "~/shared/map/points";
import { PointsLayer, type PointsStyle } from "~/shared/map/points-layer";
import { type Theme, useTheme } from "~/shared/theme/theme";
import { STALE_MS } from "./stale";

interface EntityMapProps {
  base: GeoJSON.FeatureCollection;
  at: string | undefined;
  hidden: ReadonlySet<string>;
  selected: string | null;
  colourBy: "type" | "state";
  language: Language;
  flyTo: { lon: number; lat: number; key: number } | null;
  onSelect: (id: string | null) => void;
  onMoved: (at: string) => void;
}

/** How often the points are laid out anew at most; a CPU that plays GPU gets more rest. */
const REDRAW_MS = 500;
const REDRAW_SOFT_MS = 1000;
const PICK_PX = 12;

/** The live entities over the base city. Frames never pass through React: they go from the store to the layer. */
export function EntityMap(props: EntityMapProps) {
  const { base, language, flyTo } = props;
  const { t } = useTranslation();
  const theme = useTheme((state) => state.theme);
  const holder = useRef<HTMLDivElement>(null);
  const mapRef = useRef<MapLibreMap | null>(null);
  const layer = useRef<PointsLayer | null>(null);
  const points = useRef<Points | null>(null);
  const latest = useRef({ ...props, theme });
  latest.current = { ...props, theme };
  const [hover, setHover] = useState<{ id: string; x: number; y: number } | null>(null);

  const redraw = useCallback(() => {
    const { hidden, selected, colourBy, theme: shownTheme } = latest.current;
    const { list, loaded } = useActiveWarnings.getState();
    if (loaded) {
      const gravest = severityByEntity(list);
      for (const entity of entityStore.all()) entity.state = gravest.get(entity.id) ?? "normal";
    }
    const laidOut = layOut({
      entities: entityStore.all(),
      size: entityStore.size,
      hidden,
      selected,
      theme: shownTheme,
      colourBy,
      now: serverNow(),
      staleAfterMs: STALE_MS,
    });
    points.current = laidOut;
    layer.current?.setPoints(laidOut.buffer, laidOut.count, laidOut.origin, laidOut.halos);
    if (holder.current) {
      holder.current.dataset.entityCount = String(entityStore.size);
      holder.current.dataset.shownCount = String(laidOut.count);
      if (entityStore.lastFrameAt) holder.current.dataset.lastFrame = String(entityStore.lastFrameAt);
    }
  }, []);

  // A redraw at most every half second, and one in any case after the last change.
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const soon = () => {
      if (timer) return;
      const pause = isSoftwareRendered() ? REDRAW_SOFT_MS : REDRAW_MS;
      timer = setTimeout(
        () => {
          timer = undefined;
          last = performance.now();
          redraw();
        },
        Math.max(0, last + pause - performance.now()),
      );
    };
    const leaveEntities = entityStore.listen(soon);
    const leaveWarnings = useActiveWarnings.subscribe(soon);
    soon();
    return () => {
      clearTimeout(timer);
      leaveEntities();
      leaveWarnings();
    };
  }, [redraw]);

  useEffect(redraw, [redraw, props.hidden, props.selected, props.colourBy, theme]);

  useEffect(() => {
    if (flyTo) mapRef.current?.flyTo({ center: [flyTo.lon, flyTo.lat], zoom: Math.max(14, mapRef.current.getZoom()), duration: 900 });
  }, [flyTo]);

  const onStyle = useCallback(
    (map: MapLibreMap) => {
      layer.current = new PointsLayer("entities", pointsStyle(latest.current.theme));
      map.addLayer(layer.current);
      redraw();
    },
    [redraw],
  );

  const onReady = useCallback((map: MapLibreMap) => {
    mapRef.current = map;
    if (window.__gulou) window.__gulou.map = map;
    const pick = (event: { lngLat: { lng: number; lat: number } }) =>
      points.current ? nearest(points.current, event.lngLat.lng, event.lngLat.lat, map.getZoom(), PICK_PX) : null;
    map.on("click", (event) => latest.current.onSelect(pick(event)));
    map.on("mousemove", (event) => {
      const id = pick(event);
      map.getCanvas().style.cursor = id ? "pointer" : "";
      setHover(id ? { id, x: event.point.x, y: event.point.y } : null);
    });
    map.on("mouseout", () => setHover(null));
    map.on("moveend", (event) => {
      if (!("originalEvent" in event) && !map.loaded()) return;
      const centre = map.getCenter();
      latest.current.onMoved(`${centre.lng.toFixed(5)},${centre.lat.toFixed(5)},${map.getZoom().toFixed(2)}`);
    });
    return () => {
      mapRef.current = null;
      layer.current = null;
    };
  }, []);

  const [view] = useState(() => startView(props.at, base));
  return (
    <div ref={holder} data-testid="city-map" data-entity-count="0" data-shown-count="0" style={{ position: "absolute", inset: 0 }}>
      <CityMap base={base} theme={theme} language={language} label={t("map.label")} view={view} onStyle={onStyle} onReady={onReady} />
      {hover && <HoverName {...hover} />}
    </div>
  );
}

function HoverName({ id, x, y }: { id: string; x: number; y: number }) {
  const words = useWords();
  const entity = entityStore.get(id);
  if (!entity) return null;
  return (
    <div className="hover-name" style={{ left: x, top: y }}>
      <strong>{entity.name ?? localName(id)}</strong> <span className="muted">{words.typeLabel(entity.type)}</span>
    </div>
  );
}

function pointsStyle(theme: Theme): PointsStyle {
  const calm = isSoftwareRendered() || matchMedia("(prefers-reduced-motion: reduce)").matches;
  const share = (hex: string) => hexToRgb(hex).map((part) => part / 255) as [number, number, number];
  return {
    halos: SEVERITIES.map((severity) => share(stateColour(severity, theme))),
    rim: theme === "dark" ? share("#06101d") : share("#ffffff"),
    pulse: !calm,
  };
}

/** Where the map opens: as the address says, else on the whole city, else on what there is. */
function startView(at: string | undefined, base: GeoJSON.FeatureCollection) {
  if (at) {
    const [lon = 0, lat = 0, zoom = 11] = at.split(",").map(Number);
    return { lon, lat, zoom };
  }
  if (base.features.length > 0) {
    const [west, south, east, north] = boxOf(base);
    return base.bbox ? { lon: (west + east) / 2, lat: (south + north) / 2, zoom: fitZoom(east - west, north - south) } : null;
  }
  return null;
}

/** A zoom that shows a box of so many degrees between the panels. */
function fitZoom(width: number, height: number): number {
  const panels = globalThis.innerWidth < 1000 ? 40 : 660;
  const across = Math.max(320, globalThis.innerWidth - panels);
  const down = Math.max(320, globalThis.innerHeight - 90);
  const byWidth = Math.log2((across * 360) / (512 * Math.max(width, 1e-4)));
  const byHeight = Math.log2((down * 360 * 0.85) / (512 * Math.max(height, 1e-4)));
  return Math.min(15, Math.max(3, Math.min(byWidth, byHeight) + 0.35));
}
