"""What is true now: entities and the map."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import FileResponse

from gulou.access import Principal
from gulou.api.asking import Asker, At, Language, needs
from gulou.api.instants import duration_us
from gulou.api.paging import Spans
from gulou.api.places import read_near, read_polygon
from gulou.api.schemas.hub import EntityCells, EntityHistory, EntityPage, EntityWritten, MapFeatures, SeriesPoint
from gulou.api.services import Services
from gulou.api.shaping import json_response
from gulou.hub.context import Entity, EntityQuery, to_key_values, to_normalized
from gulou.hub.history import DEFAULT_INSTANCE, HistoryQuery
from gulou.hub.rules import SEVERITIES
from gulou.kernel import NotFound, from_us
from gulou.kernel.geometry import parse_box
from gulou.operations.incidents import WarningFilter

router = APIRouter(tags=["entities"])

Reader = Annotated[Principal, needs("entity.read")]
Writer = Annotated[Principal, needs("entity.write")]
Types = Annotated[list[str] | None, Query(max_length=100, description="entity types; also comma-separated")]
Box = Annotated[str | None, Query(max_length=200, description="west,south,east,north in degrees")]
Representation = Literal["normalized", "keyValues"]
Format = Annotated[Representation, Query(alias="format")]
EntityBody = Annotated[dict[str, Any], Body()]
_WARNING_PAGES = 20
_Q = "NGSI-LD filter: `waterLevel>2.5;name~=bridge`"
_POLYGON = "GeoJSON Polygon, or lon,lat;lon,lat;…"


@router.get("/entities", response_model=EntityPage)
def list_entities(
    at: At,
    asker: Reader,
    spans: Spans,
    type_: Annotated[list[str] | None, Query(alias="type", max_length=100, description="also comma-separated")] = None,
    id_: Annotated[str | None, Query(alias="id", max_length=500, description="glob: `*Aotizhongxin`")] = None,
    q: Annotated[str | None, Query(max_length=2000, description=_Q)] = None,
    bbox: Box = None,
    polygon: Annotated[str | None, Query(max_length=20_000, description=_POLYGON)] = None,
    near: Annotated[str | None, Query(max_length=100, description="lon,lat,radius in metres")] = None,
    cell: Annotated[str | None, Query(max_length=64, description="H3 cell or BeiDou grid code")] = None,
    format_: Format = "normalized",
) -> Response:
    """List entities by type, id, values and place, in the order of their ids."""
    types = _readable_types(asker, type_)
    query = EntityQuery(
        types=types,
        id_glob=id_,
        q=q,
        box=parse_box(bbox) if bbox is not None else None,
        polygon=read_polygon(polygon) if polygon is not None else None,
        near=read_near(near) if near is not None else None,
        cell=cell,
        limit=spans.limit,
        cursor=spans.cursor,
    )
    page = at.context.find_entities(query)
    items = [_written(entity, format_) for entity in page.items]
    return json_response({"items": items, "total": page.total, "next": page.next})


@router.post("/entities", status_code=201)
def upsert_entity(at: At, asker: Writer, entity: EntityBody) -> EntityWritten:
    """Create an entity, or write the given attributes over those it has (NGSI-LD normalized form)."""
    written, created = at.context.upsert_entity(entity, asker)
    return EntityWritten(id=written.id, created=created)


@router.get("/entities/{entity_id}", response_model=dict[str, Any])
def get_entity(at: At, asker: Reader, entity_id: str, format_: Format = "normalized") -> Response:
    """Get one entity as it is now."""
    return json_response(_written(_readable(at, asker, entity_id), format_))


@router.patch("/entities/{entity_id}/attrs", status_code=204)
def patch_entity(at: At, asker: Writer, entity_id: str, attributes: EntityBody) -> None:
    """Write some attributes of an entity."""
    at.context.patch_attributes(entity_id, attributes, asker)


@router.delete("/entities/{entity_id}", status_code=204)
def delete_entity(at: At, asker: Writer, entity_id: str) -> None:
    """Delete an entity; its history stays, and a later reading creates it again."""
    at.context.delete_entity(entity_id, asker)


@router.get("/entities/{entity_id}/cells")
def get_entity_cells(at: At, asker: Reader, entity_id: str) -> EntityCells:
    """Get the grid cells in which an entity lies."""
    _readable(at, asker, entity_id)
    cells = at.context.cells(entity_id)
    return EntityCells(
        id=entity_id,
        h3={str(resolution): cell for resolution, cell in cells.h3.items()},
        beidou={str(level): code for level, code in cells.beidou.items()},
    )


@router.get("/entities/{entity_id}/history")
def get_entity_history(
    at: At,
    asker: Reader,
    entity_id: str,
    property_: Annotated[str, Query(alias="property", max_length=200)],
    last: Annotated[str, Query(pattern=r"^[1-9][0-9]{0,5}(s|m|h|d|w)$", description="span up to now: `24h`")] = "24h",
    limit: Annotated[int, Query(ge=1, le=20_000)] = 5000,
) -> EntityHistory:
    """Get the recent past of one property, for a chart; the newest readings where there are more than `limit`."""
    entity = _readable(at, asker, entity_id)
    query = HistoryQuery(
        type=entity.type,
        id_glob=entity_id,
        property=property_,
        dataset_id=DEFAULT_INSTANCE,
        from_us=max(at.clock.now_us() - duration_us(last), 0),
        limit=limit + 1,
        order="desc",
    )
    rows = [row for row in at.history.query(query) if row.entity_id == entity_id]
    definition = at.vocabulary.get_type(entity.type).properties.get(property_)
    points = [SeriesPoint(time=from_us(row.observed_at_us), value=row.value) for row in reversed(rows[:limit])]
    return EntityHistory(
        entity_id=entity_id,
        property=property_,
        unit=definition.unit if definition is not None else None,
        points=points,
        truncated=len(rows) > limit,
    )


@router.get("/map/features", response_model=MapFeatures)
def list_map_features(
    at: At,
    asker: Reader,
    language: Language,
    bbox: Box = None,
    types: Types = None,
    limit: Annotated[int, Query(ge=1, le=200_000)] = 100_000,
) -> Response:
    """List what lies in a box, by columns, for the map."""
    box = parse_box(bbox) if bbox is not None else None
    places, total = at.context.places(_readable_types(asker, types), box, limit)
    names = [_name_of(at.context.find_entity(place.id), language) for place in places]
    kinds = sorted({place.type for place in places})
    index = {kind: position for position, kind in enumerate(kinds)}
    states = _states(at, asker) if asker.may("warning.read") else {}
    return json_response(
        {
            "types": kinds,
            "ids": [place.id for place in places],
            "names": names,
            "lon": [place.lon for place in places],
            "lat": [place.lat for place in places],
            "type": [index[place.type] for place in places],
            "state": [states.get(place.id, "normal") for place in places],
            "total": total,
            "truncated": total > len(places),
        }
    )


@router.get("/map/base", response_model=None, responses={204: {"description": "there is none"}})
def get_base_map(at: At, asker: Asker) -> Response:
    """Get the base map as GeoJSON; 204 where the city has none."""
    path = at.data_directory / "maps" / "base.geojson"
    if not path.is_file():
        return Response(status_code=204)
    return FileResponse(path, media_type="application/geo+json", headers={"Cache-Control": "private, max-age=300"})


def _readable_types(asker: Principal, asked: list[str] | None) -> tuple[str, ...] | None:
    """Return the types asked for, less those that the asker may not read; None: all."""
    wanted = {name for item in asked or () for name in item.split(",") if name}
    allowed = asker.entity_types("entity.read")
    if allowed is None:
        return tuple(sorted(wanted)) if wanted else None
    return tuple(sorted(allowed & wanted if wanted else allowed))


def _readable(at: Services, asker: Principal, entity_id: str) -> Entity:
    """Return an entity; one of a type that the asker may not read does not exist for them."""
    entity = at.context.get_entity(entity_id)
    if not any(asker.may("entity.read", entity_type=name) for name in entity.types):
        raise NotFound("entity.unknown", entity_id=entity_id)
    return entity


def _states(at: Services, asker: Principal) -> dict[str, str]:
    """Return the gravest severity of the active warnings on each entity."""
    states: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(_WARNING_PAGES):
        page = at.warnings.list(WarningFilter(state="active"), asker, limit=1000, cursor=cursor)
        for warning in page.items:
            before = states.get(warning.entity_id, warning.severity)
            states[warning.entity_id] = max(before, warning.severity, key=SEVERITIES.index)
        cursor = page.next
        if cursor is None:
            break
    return states


def _written(entity: Entity, representation: Representation) -> dict[str, Any]:
    return to_normalized(entity) if representation == "normalized" else to_key_values(entity)


def _name_of(entity: Entity | None, language: str) -> str | None:
    name = entity.plain("name") if entity is not None else None
    if isinstance(name, dict):
        name = name.get(language) or name.get("en") or next(iter(name.values()), None)
    return name if isinstance(name, str) else None
