"""Where a record's entity is: two coordinates to a GeoJSON point in EPSG:4326."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gulou.sensing.sdk.mapping.expressions import Finder
from gulou.sensing.sdk.mapping.numbers import Unreadable, number_reader

_ToWgs84 = Callable[[float, float], tuple[float, float]]


def location_reader(
    longitude: Finder, latitude: Finder, datum: str
) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Make a function from a record to a GeoJSON point; None when the record has no coordinates.

    The function raises Invalid ``reading.not_a_number`` or ``reading.not_a_geometry``.
    """
    number = number_reader()
    to_wgs84 = _conversion(datum)

    def read(record: Mapping[str, Any]) -> dict[str, Any] | None:
        raw = longitude(record), latitude(record)
        if all(value is None or value == "" for value in raw):
            return None
        lon, lat = (float(number(value)) for value in raw)
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise Unreadable("reading.not_a_geometry", value=f"{lon}, {lat}")
        if to_wgs84 is not None:
            lon, lat = to_wgs84(lon, lat)
        return {"type": "Point", "coordinates": [lon, lat]}

    return read


def _conversion(datum: str) -> _ToWgs84 | None:
    if datum == "wgs84":
        return None
    from gulou.kernel.datum import bd09_to_gcj02, gcj02_to_wgs84

    return gcj02_to_wgs84 if datum == "gcj02" else lambda lon, lat: gcj02_to_wgs84(*bd09_to_gcj02(lon, lat))
