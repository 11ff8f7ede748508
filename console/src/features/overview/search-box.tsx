import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { deviceName, deviceSearchQuery } from "~/shared/data/devices";
import { localName } from "~/shared/data/entities";
import { useWords } from "~/shared/data/vocabulary";
import { entityStore, type LiveEntity } from "~/shared/live/entities";
import { colourOf, lookOf } from "~/shared/map/looks";
import { useMay } from "~/shared/session/session";
import { useTheme } from "~/shared/theme/theme";
import { Icon } from "~/shared/ui/icon";
import { ShapeGlyph } from "~/shared/ui/shape-glyph";

const MOST = 8;

type Hit = { kind: "entity"; entity: LiveEntity } | { kind: "device"; id: string; name: string; online: boolean | null };

/** Find an entity (in what the map holds) or a device (on the server) by name or id. */
export function SearchBox({ onEntity }: { onEntity: (id: string) => void }) {
  const { t, i18n } = useTranslation();
  const words = useWords();
  const theme = useTheme((state) => state.theme);
  const navigate = useNavigate();
  const listId = useId();
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [index, setIndex] = useState(0);
  const q = useDeferredValue(text.trim());
  const [settled, setSettled] = useState("");
  const mayDevices = useMay("device.read");

  useEffect(() => {
    const timer = setTimeout(() => setSettled(q), 250);
    return () => clearTimeout(timer);
  }, [q]);
  const { data: devices } = useQuery({ ...deviceSearchQuery(settled, MOST), enabled: mayDevices && settled.length > 0 });

  const hits: Hit[] = [
    ...findEntities(q, (type) => words.typeLabel(type)).map((entity) => ({ kind: "entity", entity }) as const),
    ...(q && settled ? (devices?.items ?? []) : []).map(
      (device) => ({ kind: "device", id: device.id, name: deviceName(device, i18n.language), online: device.online ?? null }) as const,
    ),
  ];
  const shown = open && q.length > 0;

  const choose = (hit: Hit | undefined) => {
    if (!hit) return;
    setOpen(false);
    input.current?.blur();
    if (hit.kind === "entity") onEntity(hit.entity.id);
    else void navigate({ to: "/devices/$deviceId", params: { deviceId: hit.id } });
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setIndex(Math.min(index + 1, hits.length - 1));
    else if (event.key === "ArrowUp") setIndex(Math.max(index - 1, 0));
    else if (event.key === "Enter") choose(hits[index]);
    else if (event.key === "Escape") {
      setOpen(false);
      input.current?.blur();
    } else return;
    event.preventDefault();
  };

  return (
    <div className="search" role="search" data-search>
      <Icon name="search" />
      <input
        ref={input}
        className="input"
        type="text"
        role="combobox"
        aria-label={t("map.search")}
        aria-expanded={shown}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={shown && hits[index] ? `${listId}-${index}` : undefined}
        placeholder={t("map.search")}
        value={text}
        data-testid="map-search"
        onChange={(event) => {
          setText(event.target.value);
          setIndex(0);
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={onKeyDown}
      />
      <ul id={listId} className="search-list" role="listbox" aria-label={t("map.search")} hidden={!shown}>
        {shown && hits.length === 0 && <li className="muted" role="presentation" style={{ padding: "6px 10px" }}>{t("common.nothing_found")}</li>}
        {shown &&
          hits.map((hit, position) => (
            <li
              key={hit.kind === "entity" ? hit.entity.id : `device-${hit.id}`}
              id={`${listId}-${position}`}
              role="option"
              aria-selected={position === index}
              data-testid="search-hit"
              onPointerDown={(event) => {
                event.preventDefault();
                choose(hit);
              }}
              onPointerEnter={() => setIndex(position)}
            >
              {hit.kind === "entity" ? (
                <>
                  <ShapeGlyph shape={lookOf(hit.entity.type).shape} colour={colourOf(hit.entity.type, theme)} />
                  <span>
                    <span className="truncate">{hit.entity.name ?? localName(hit.entity.id)}</span>
                    <small>{words.typeLabel(hit.entity.type)}</small>
                  </span>
                </>
              ) : (
                <>
                  <Icon name="device" size={15} />
                  <span>
                    <span className="truncate">{hit.name}</span>
                    <small className="mono">{hit.id}</small>
                  </span>
                </>
              )}
            </li>
          ))}
      </ul>
    </div>
  );
}

function findEntities(q: string, typeLabel: (type: string) => string): LiveEntity[] {
  if (!q) return [];
  const sought = q.toLowerCase();
  const begins: LiveEntity[] = [];
  const holds: LiveEntity[] = [];
  for (const entity of entityStore.all()) {
    const name = (entity.name ?? "").toLowerCase();
    if (name.startsWith(sought)) begins.push(entity);
    else if (name.includes(sought) || entity.id.toLowerCase().includes(sought)) holds.push(entity);
    else if (holds.length < MOST && typeLabel(entity.type).toLowerCase().includes(sought)) holds.push(entity);
    if (begins.length >= MOST) break;
  }
  return [...begins, ...holds].slice(0, MOST);
}
