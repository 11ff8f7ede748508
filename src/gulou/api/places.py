"""Places as they are asked for in addresses."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gulou.kernel import Invalid
from gulou.kernel.geometry import check_position

_CORNERS_MAX = 1000
_RADIUS_MAX_M = 20_100_000.0


def read_near(text: str) -> tuple[float, float, float]:
    """Read ``lon,lat,radius_m``.

    Raises:
        Invalid: ``request.bad_place`` or ``geometry.…``.
    """
    numbers = _numbers(text, "near", "lon,lat,radius_m")
    if len(numbers) != 3 or not 0 <= numbers[2] <= _RADIUS_MAX_M:
        raise Invalid("request.bad_place", value=text, what="near", form="lon,lat,radius_m")
    lon, lat, radius_m = numbers
    check_position(lon, lat, "near")
    return lon, lat, radius_m


def read_polygon(text: str) -> dict[str, Any]:
    """Read a polygon, as GeoJSON or ``lon,lat;lon,lat;…`` (closed by itself); what it is like is checked by the search.

    Raises:
        Invalid: ``request.bad_place``.
    """
    form = "GeoJSON, or lon,lat;lon,lat;lon,lat"
    if text.lstrip().startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise Invalid("request.bad_place", value=text, what="polygon", form=form) from None
    ring = [_numbers(corner, "polygon", form) for corner in text.strip(";").split(";")]
    if not 3 <= len(ring) <= _CORNERS_MAX or any(len(corner) != 2 for corner in ring):
        raise Invalid("request.bad_place", value=text, what="polygon", form=form)
    return {"type": "Polygon", "coordinates": [ring if ring[0] == ring[-1] else [*ring, ring[0]]]}


def _numbers(text: str, what: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(math.isfinite(number) for number in numbers):
        raise Invalid("request.bad_place", value=text, what=what, form=form)
    return numbers
