"""Reads ``tables:``."""

from __future__ import annotations

import math
import re
from typing import Any

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.format.source import Source
from gulou.kernel.documents import Path

_KEYS = ("id", "edition", "source", "valid_from", "valid_to", "points", "outside")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")
_MOST_POINTS = 10_000


def read_table(source: Source, raw: object, path: Path) -> PointTable | None:
    """Read one table; complains and returns None where it is wrong."""
    data = source.mapping(raw, path)
    source.known_keys(data, _KEYS, path)
    name = source.text(source.need(data, "id", path), (*path, "id"))
    edition = source.need(data, "edition", path)
    if name is None or edition is None:
        return None
    if not _NAME.match(name):
        source.complain((*path, "id"), "rules.id_malformed", id=name)
    points = [_point(source, one, (*path, "points", index)) for index, one in enumerate(_points(source, data, path))]
    whole = [point for point in points if point is not None]
    if len(whole) < len(points):
        return None
    if len(whole) < 2:
        source.complain((*path, "points"), "rules.table_points", detail="two points or more are needed")
        return None
    for index in range(1, len(whole)):
        if whole[index][0] < whole[index - 1][0]:
            source.complain((*path, "points", index), "rules.table_points", detail="x must not fall")
            return None
    return PointTable(
        id=name,
        edition=str(edition),
        xs=tuple(x for x, _ in whole),
        ys=tuple(y for _, y in whole),
        clamp=source.choice(data, "outside", path, ("clamp", "unknown"), "clamp") == "clamp",
        source=source.text(data.get("source"), (*path, "source")),
        valid_from=source.day(data.get("valid_from"), (*path, "valid_from")),
        valid_to=source.day(data.get("valid_to"), (*path, "valid_to")),
    )


def _points(source: Source, data: dict[str, Any], path: Path) -> list[Any]:
    return source.listing(source.need(data, "points", path), (*path, "points"), _MOST_POINTS)


def _point(source: Source, raw: object, path: Path) -> tuple[float, float] | None:
    numbers = raw if isinstance(raw, list) and len(raw) == 2 else []
    if numbers and all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        x, y = float(numbers[0]), float(numbers[1])
        if math.isfinite(x) and math.isfinite(y):
            return x, y
    source.complain(path, "rules.table_points", detail="a point is written [x, y]")
    return None
