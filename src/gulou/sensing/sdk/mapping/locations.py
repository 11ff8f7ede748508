"""Where a record's entity is: two coordinates to a GeoJSON point in EPSG:4326."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.mapping.expressions import Finder
from gulou.sensing.sdk.mapping.numbers import number_reader

_ToWgs84 = Callable[[float, float], tuple[float, float]]


def location_reader(
    longitude: Finder, latitude: Finder, datum: str
) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Make a function from a record to a GeoJSON point; None when the record has no coordinates.

    The function raises Invalid ``reading.not_a_number`` or ``reading.out_of_range``.
    """
    number = number_reader()
    to_wgs84 = _conversion(datum)

    def read(record: Mapping[str, Any]) -> dict[str, Any] | None:
        raw = longitude(record), latitude(record)
        if all(value is None or value == "" for value in raw):
            return None
        lon, lat = (float(number(value)) for value in raw)
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise Invalid("reading.out_of_range", property="location", value=f"{lon}, {lat}", minimum=-180, maximum=180)
        if to_wgs84 is not None:
            lon, lat = to_wgs84(lon, lat)
        return {"type": "Point", "coordinates": [lon, lat]}

    return read


def _conversion(datum: str) -> _ToWgs84 | None:
    if datum == "wgs84":
        return None
    from gulou.kernel import datum as datums

    known: dict[str, _ToWgs84] = {"gcj02": datums.gcj02_to_wgs84, "bd09": datums.bd09_to_wgs84}
    return known[datum]
