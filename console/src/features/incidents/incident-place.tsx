import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Map as MapLibreMap } from "maplibre-gl";
import { lazy, Suspense, useCallback } from "react";
import { useTranslation } from "react-i18next";
import type { IncidentView } from "~/shared/data/keys";
import type { Language } from "~/shared/i18n/i18n";
import { centreOf } from "~/shared/live/entities";
import { baseMapQuery } from "~/shared/map/base-data";
import { useTheme } from "~/shared/theme/theme";

const CityMap = lazy(() => import("~/shared/map/city-map").then((module) => ({ default: module.CityMap })));

/** Where it is, on a small map. */
export function IncidentPlace({ incident }: { incident: IncidentView }) {
  const { t, i18n } = useTranslation();
  const theme = useTheme((state) => state.theme);
  const { data: base } = useQuery(baseMapQuery);
  const centre = centreOf(incident.location as never);
  const lon = centre?.[0] ?? 0;
  const lat = centre?.[1] ?? 0;
  const { severity, entity_id: entityId } = incident;

  const onStyle = useCallback(
    (map: MapLibreMap) => {
      const colour = getComputedStyle(document.documentElement).getPropertyValue(`--sev-${severity}`).trim();
      map.addSource("place", { type: "geojson", data: { type: "Point", coordinates: [lon, lat] } });
      map.addLayer({
        id: "place-halo",
        type: "circle",
        source: "place",
        paint: { "circle-radius": 18, "circle-color": colour, "circle-opacity": 0.25 },
      });
      map.addLayer({
        id: "place",
        type: "circle",
        source: "place",
        paint: { "circle-radius": 7, "circle-color": colour, "circle-stroke-color": "#ffffff", "circle-stroke-width": 2 },
      });
    },
    [lon, lat, severity],
  );

  if (!centre) return null;
  return (
    <section className="card" aria-label={t("incidents.place")}>
      <div className="card-head">
        {t("incidents.place")}
        <Link to="/" search={{ at: `${lon},${lat},14.5`, sel: entityId ?? undefined }} className="button quiet small">
          {t("incidents.on_map")}
        </Link>
      </div>
      <div className="mini-map">
        {base && (
          <Suspense fallback={null}>
            <CityMap
              base={base}
              theme={theme}
              language={i18n.language as Language}
              label={t("incidents.place")}
              view={{ lon, lat, zoom: 13.5 }}
              interactive={false}
              onStyle={onStyle}
            />
          </Suspense>
        )}
      </div>
    </section>
  );
}
