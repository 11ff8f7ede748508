"""Finding entities by every condition of a query."""

from __future__ import annotations

import base64
import binascii
import heapq
import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from gulou.hub.context.entities import Entities
from gulou.hub.context.filter import parse_filter
from gulou.hub.context.model import Entity, EntityCells, EntityPage, EntityQuery, Place
from gulou.hub.context.series_values import SeriesValues
from gulou.hub.context.spatial import Area, find_in_area
from gulou.kernel import beidou
from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import Box
from gulou.kernel.grid import H3_RESOLUTIONS, h3_cell

_BEIDOU_LATITUDE = 88.0  # GB/T 39409-2020 draws the polar caps in another way


def find_page(entities: Entities, values: SeriesValues, query: EntityQuery, max_page: int) -> EntityPage:
    """Return one page of the entities that a query asks for; see ``ContextService.find_entities``."""
    check_limit(query.limit, max_page)
    after = _read_cursor(query.cursor)
    keep = None if query.q is None else parse_filter(query.q, values)
    found = _candidates(entities, query)
    if keep is not None:
        found = keep.select(values.narrow(found, keep.numbers))
    rest = found if after is None else [entity for entity in found if entity.id > after]
    page = heapq.nsmallest(query.limit, rest, key=lambda entity: entity.id)
    more = bool(page) and len(rest) > len(page)
    return EntityPage(
        [values.whole(entity) for entity in page], len(found), _write_cursor(page[-1].id) if more else None
    )


def find_places(
    entities: Entities, types: Iterable[str] | None, box: Box | None, limit: int
) -> tuple[list[Place], int]:
    """Return where entities are, and how many there are in all."""
    wanted = None if types is None else frozenset(types)
    area = Area(EntityQuery(box=box))
    found: list[Place] = []
    total = 0
    for entity_id, spot in entities.places.everything() if box is None else entities.places.near_box(box):
        entity = entities.by_id.get(entity_id)
        if entity is None or not area.holds(spot) or (wanted is not None and wanted.isdisjoint(entity.types)):
            continue
        total += 1
        if len(found) < limit:
            found.append(Place(entity_id, entity.type, spot.lon, spot.lat))
    return found, total


def cells_at(position: tuple[float, float] | None) -> EntityCells:
    """Return the grid cells of a point, of every level; none for no point, no BeiDou cells close to the poles."""
    if position is None:
        return EntityCells({}, {})
    levels = range(1, beidou.LEVELS + 1) if abs(position[1]) < _BEIDOU_LATITUDE else range(0)
    return EntityCells(
        {resolution: h3_cell(*position, resolution) for resolution in H3_RESOLUTIONS},
        {level: beidou.encode(*position, level) for level in levels},
    )


def check_limit(limit: int, most: int) -> int:
    """Return a limit that is possible. Raises Invalid ``entity.limit``."""
    if not 0 <= limit <= most:
        raise Invalid("entity.limit", value=limit, limit=most)
    return limit


def _candidates(entities: Entities, query: EntityQuery) -> list[Entity]:
    """Start from the narrowest index, then apply what it did not cover."""
    by_id, area = entities.by_id, Area(query)
    if query.ids is not None:
        found = [entity for one in dict.fromkeys(query.ids) if (entity := by_id.get(one)) is not None]
        if area.box is not None:
            spots = ((entity, entities.places.find_spot(entity.id)) for entity in found)
            found = [entity for entity, spot in spots if spot is not None and area.holds(spot)]
    elif area.box is not None:
        inside = find_in_area(entities.places, area)
        found = [entity for one in inside if (entity := by_id.get(one)) is not None]
    elif query.types is not None:
        groups = [entities.of_type(name) for name in dict.fromkeys(query.types)]
        found = list({entity.id: entity for group in groups for entity in group}.values())
    else:
        found = list(by_id.values())
    if query.types is not None:
        wanted = frozenset(query.types)
        found = [entity for entity in found if not wanted.isdisjoint(entity.types)]
    return found if query.id_glob is None else _by_glob(found, query.id_glob)


def _by_glob(entities: list[Entity], glob: str) -> list[Entity]:
    if "*" not in glob and "?" not in glob:
        return [entity for entity in entities if entity.id == glob]
    wild = {"*": ".*", "?": "."}
    pattern = "(?s)^" + "".join(wild.get(character) or re.escape(character) for character in glob) + "$"
    ids = pa.array([entity.id for entity in entities], pa.string())
    mask = pc.match_substring_regex(ids, pattern).to_pylist()  # RE2: linear time whatever the pattern
    return [entity for entity, matches in zip(entities, mask, strict=True) if matches]


def _write_cursor(entity_id: str) -> str:
    return base64.urlsafe_b64encode(entity_id.encode()).decode().rstrip("=")


def _read_cursor(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise Invalid("entity.cursor") from error
