"""What is true now: entities and the map."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response

from gulou.api.asking import Asker
from gulou.api.paging import Spans
from gulou.api.schemas.hub import EntityCells, EntityHistory, EntityPage, EntityWritten, MapFeatures

router = APIRouter(tags=["entities"])

Types = Annotated[list[str] | None, Query(max_length=100, description="entity types; also comma-separated")]
Box = Annotated[str | None, Query(max_length=200, description="west,south,east,north in degrees")]
Representation = Literal["normalized", "keyValues"]
EntityBody = Annotated[dict[str, Any], Body()]


@router.get("/entities")
def list_entities(
    asker: Asker,
    spans: Spans,
    type_: Annotated[list[str] | None, Query(alias="type", max_length=100)] = None,
    id_: Annotated[str | None, Query(alias="id", max_length=500, description="glob: `*Aotizhongxin`")] = None,
    q: Annotated[
        str | None, Query(max_length=2000, description="NGSI-LD filter: `waterLevel>2.5;name~=bridge`")
    ] = None,
    bbox: Box = None,
    polygon: Annotated[
        str | None, Query(max_length=20_000, description="GeoJSON Polygon, or lon,lat;lon,lat;…")
    ] = None,
    near: Annotated[str | None, Query(max_length=100, description="lon,lat,radius in metres")] = None,
    cell: Annotated[str | None, Query(max_length=64, description="H3 cell or BeiDou grid code")] = None,
    format_: Annotated[Representation, Query(alias="format")] = "normalized",
) -> EntityPage:
    """List entities by type, id, values and place."""
    raise NotImplementedError


@router.post("/entities", status_code=201)
def upsert_entity(asker: Asker, entity: EntityBody) -> EntityWritten:
    """Create an entity, or write the given attributes over those it has (NGSI-LD normalized form)."""
    raise NotImplementedError


@router.get("/entities/{entity_id}")
def get_entity(
    asker: Asker, entity_id: str, format_: Annotated[Representation, Query(alias="format")] = "normalized"
) -> dict[str, Any]:
    """Get one entity as it is now."""
    raise NotImplementedError


@router.patch("/entities/{entity_id}/attrs", status_code=204)
def patch_entity(asker: Asker, entity_id: str, attributes: EntityBody) -> None:
    """Write some attributes of an entity."""
    raise NotImplementedError


@router.delete("/entities/{entity_id}", status_code=204)
def delete_entity(asker: Asker, entity_id: str) -> None:
    """Delete an entity; its history stays, and a later reading creates it again."""
    raise NotImplementedError


@router.get("/entities/{entity_id}/cells")
def get_entity_cells(asker: Asker, entity_id: str) -> EntityCells:
    """Get the grid cells in which an entity lies."""
    raise NotImplementedError


@router.get("/entities/{entity_id}/history")
def get_entity_history(
    asker: Asker,
    entity_id: str,
    property_: Annotated[str, Query(alias="property", max_length=200)],
    last: Annotated[str, Query(pattern=r"^[1-9][0-9]{0,5}(s|m|h|d|w)$", description="span up to now: `24h`")] = "24h",
    limit: Annotated[int, Query(ge=1, le=20_000)] = 5000,
) -> EntityHistory:
    """Get the recent past of one property, for a chart."""
    raise NotImplementedError


@router.get("/map/features")
def list_map_features(
    asker: Asker,
    bbox: Box = None,
    types: Types = None,
    limit: Annotated[int, Query(ge=1, le=200_000)] = 100_000,
) -> MapFeatures:
    """List what lies in a box, by columns, for the map."""
    raise NotImplementedError


@router.get("/map/base", response_model=None)
def get_base_map(asker: Asker) -> Response:
    """Get the base map as GeoJSON; 204 where the city has none."""
    raise NotImplementedError
