import "./overview.css";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { entityStore } from "~/shared/live/entities";
import type { Language } from "~/shared/i18n/i18n";
import { baseMapQuery } from "~/shared/map/base-data";
import { canDrawMap } from "~/shared/map/city-map";
import { DRAWN_BY_BASE } from "~/shared/map/looks";
import { useMay } from "~/shared/session/session";
import { EmptyState, ErrorState, LoadingState } from "~/shared/ui/states";
import { useListKeys } from "~/shared/ui/use-list-keys";
import { EntityMap } from "./entity-map";
import { EntityPanel } from "./entity-panel";
import { LayersPanel } from "./layers-panel";
import { SearchBox } from "./search-box";
import { Tiles } from "./tiles";
import { useEntities } from "./use-entities";
import { WarningsPanel } from "./warnings-panel";

/** The city at a glance: what is where, what it says now, and what is wrong. */
export function OverviewPage() {
  const { t, i18n } = useTranslation();
  const search = useSearch({ from: "/shell/" });
  const navigate = useNavigate({ from: "/" });
  const base = useQuery(baseMapQuery);
  const { counts, error, refetch } = useEntities();
  const [flyTo, setFlyTo] = useState<{ lon: number; lat: number; key: number } | null>(null);
  const drawable = useMemo(canDrawMap, []);

  const hidden = useMemo(() => new Set(search.hide ?? DRAWN_BY_BASE), [search.hide]);
  const colourBy = search.by ?? "type";

  const select = useCallback(
    (id: string | null, fly = false) => {
      void navigate({ search: (before) => ({ ...before, sel: id ?? undefined }), replace: true });
      const entity = id ? entityStore.get(id) : undefined;
      if (fly && entity) setFlyTo({ lon: entity.lon, lat: entity.lat, key: Date.now() });
    },
    [navigate],
  );
  const mayWarnings = useMay("warning.read");
  useListKeys({ count: 0, index: 0, onMove: () => undefined, onOpen: () => undefined, onClose: () => select(null) });
  const onMoved = useCallback(
    (at: string) => void navigate({ search: (before) => ({ ...before, at }), replace: true, resetScroll: false }),
    [navigate],
  );
  const onHide = useCallback(
    (types: Set<string>) => void navigate({ search: (before) => ({ ...before, hide: [...types] }), replace: true }),
    [navigate],
  );

  return (
    <div className="overview">
      <h1 className="visually-hidden">{t("nav.map")}</h1>
      {!drawable && <EmptyState title={t("map.no_webgl")}>{t("map.no_webgl_hint")}</EmptyState>}
      {drawable && base.isPending && <LoadingState />}
      {drawable && base.error && <ErrorState error={base.error} retry={() => void base.refetch()} />}
      {drawable && base.data && (
        <EntityMap
          base={base.data}
          at={search.at}
          hidden={hidden}
          selected={search.sel ?? null}
          colourBy={colourBy}
          language={i18n.language as Language}
          flyTo={flyTo}
          onSelect={select}
          onMoved={onMoved}
        />
      )}
      <div className="overview-column left">
        <SearchBox onEntity={(id) => select(id, true)} />
        <Tiles shown={counts.total} />
        {error ? (
          <div className="panel">
            <ErrorState error={error} retry={refetch} />
          </div>
        ) : (
          <LayersPanel
            counts={counts.byType}
            hidden={hidden}
            colourBy={colourBy}
            onHide={onHide}
            onColourBy={(by) => void navigate({ search: (before) => ({ ...before, by: by === "type" ? undefined : by }), replace: true })}
          />
        )}
      </div>
      <div className="overview-column right">
        {search.sel && (
          <EntityPanel
            key={search.sel}
            id={search.sel}
            onClose={() => select(null)}
            onSelect={(id) => select(id, true)}
            onLocate={(lon, lat) => setFlyTo({ lon, lat, key: Date.now() })}
          />
        )}
        {mayWarnings && <WarningsPanel compact={search.sel !== undefined} onSelect={(id) => select(id, true)} />}
      </div>
    </div>
  );
}
