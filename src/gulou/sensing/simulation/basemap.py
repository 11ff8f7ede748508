"""Writes the drawing as GeoJSON in EPSG:4326, for the map's base layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from gulou.sensing.simulation import names
from gulou.sensing.simulation.layout import Layout, Shape
from gulou.sensing.simulation.plane import to_lonlat

GeoJson = dict[str, Any]


def to_geojson_geometry(geometry: Any) -> GeoJson:
    """Convert a geometry in plane metres to a GeoJSON geometry in degrees (lon, lat)."""
    moved = shapely.transform(geometry, to_lonlat)
    result: GeoJson = shapely.geometry.mapping(moved)
    return {"type": result["type"], "coordinates": _plain(result["coordinates"])}


def base_map(layout: Layout) -> GeoJson:
    """Return the base map: one FeatureCollection, drawn in its order.

    Each feature has the properties ``kind`` (district, park, river, lake, building, road, label), ``category``,
    ``name`` (Chinese), ``name_en``, and a building ``height_m``. District names come as ``label`` points as well.
    """
    shapes = [*layout.districts, *layout.parks, layout.river, layout.creek, layout.lake]
    features = [_feature(shape) for shape in shapes]
    features += [_feature(shape) for shape in layout.buildings]
    features += [_feature(shape) for shape in sorted(layout.roads, key=lambda road: road.category != "street")]
    features += [_label(shape, 2) for shape in layout.districts]
    features += [_label(shape, 3) for shape in (layout.lake, *layout.parks[1:6])]
    west, south, east, north = layout.boundary.bounds
    corners = to_lonlat(np.array([[west, south], [east, north]])).ravel().tolist()
    return {
        "type": "FeatureCollection",
        "name": names.CITY.en,
        "bbox": corners,
        "properties": {"name": names.CITY.zh, "name_en": names.CITY.en},
        "features": features,
    }


def _feature(shape: Shape) -> GeoJson:
    properties: dict[str, Any] = {"kind": shape.kind}
    if shape.category:
        properties["category"] = shape.category
    if shape.name is not None:
        properties |= {"name": shape.name.zh, "name_en": shape.name.en}
    if shape.height_m:
        properties["height_m"] = shape.height_m
    return {
        "type": "Feature",
        "id": shape.id,
        "geometry": to_geojson_geometry(shape.geometry),
        "properties": properties,
    }


def _label(shape: Shape, rank: int) -> GeoJson:
    point = shape.geometry.representative_point()
    name = shape.name or names.CITY
    return {
        "type": "Feature",
        "id": f"label-{shape.id}",
        "geometry": to_geojson_geometry(point),
        "properties": {"kind": "label", "category": shape.kind, "rank": rank, "name": name.zh, "name_en": name.en},
    }


def _plain(coordinates: Any) -> Any:
    """Turn nested tuples of numpy numbers into lists of floats that every JSON writer takes."""
    if isinstance(coordinates, (tuple, list)):
        return [_plain(item) for item in coordinates]
    return float(coordinates)
