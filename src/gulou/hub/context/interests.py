"""What live clients watch, in the form in which changes are matched with it: arrays for series, sets for entities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_ROUNDING_DEGREES = 1e-4
"""Places of series are kept as float32."""
_MOST_INTERESTS = 64


class Interest(msgspec.Struct, frozen=True):
    """Which entities somebody watches; every condition given must hold.

    Args:
        types: entity types; None: all.
        ids: exactly these; None: all.
        box: west, south, east, north in degrees, WGS 84; None: everywhere.
    """

    types: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    box: tuple[float, float, float, float] | None = None

    def wants(self, entity_id: str, types: Iterable[str], at: tuple[float, float] | None) -> bool:
        """Say whether an entity is watched; ``at`` is its longitude and latitude."""
        if self.ids is not None and entity_id not in self.ids:
            return False
        if self.types is not None and self.types.isdisjoint(types):
            return False
        if self.box is None:
            return True
        west, south, east, north = self.box
        return at is not None and west <= at[0] <= east and south <= at[1] <= north


class Interests:
    """All that is watched. Beyond 64 different interests, those beyond are taken for all types in one common box.

    Matching series by type and place is coarse: it lets through what is a little too much, never too little.
    """

    def __init__(self, interests: Sequence[Interest]) -> None:
        different = list(dict.fromkeys(interests))
        self._coarse = [one for one in different if one.ids is None]
        if len(self._coarse) > _MOST_INTERESTS:
            rest = self._coarse[_MOST_INTERESTS - 1 :]
            self._coarse = [*self._coarse[: _MOST_INTERESTS - 1], Interest(box=_around([one.box for one in rest]))]
        self.ids: frozenset[str] = frozenset().union(*(one.ids for one in different if one.ids is not None))
        self._groups = 0
        self._types = np.zeros((0, 0), np.uint8)
        self._boxes = np.array([_box_row(one.box) for one in self._coarse], np.float64).reshape(-1, 4)

    def __bool__(self) -> bool:
        return bool(self._coarse or self.ids)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """float64[interests, 4], see ``pick_wanted``."""
        return self._boxes

    def types(self, group_types: Sequence[str | None]) -> NDArray[np.uint8]:
        """Return uint8[interests, groups]: which groups of series each interest wants.

        Args:
            group_types: entity type by group; None: several, which an interest may want.
        """
        if self._groups != len(group_types):
            self._groups = len(group_types)
            wanted = [
                [one.types is None or name is None or name in one.types for name in group_types] for one in self._coarse
            ]
            self._types = np.array(wanted, np.uint8).reshape(-1, len(group_types))
        return self._types

    def wants(self, entity_id: str, types: Iterable[str], at: tuple[float, float] | None) -> bool:
        """Say whether anybody watches an entity."""
        return entity_id in self.ids or any(one.wants(entity_id, types, at) for one in self._coarse)


def _box_row(box: tuple[float, float, float, float] | None) -> list[float]:
    if box is None:
        return [np.nan] * 4
    west, south, east, north = box
    more = _ROUNDING_DEGREES
    return [west - more, south - more, east + more, north + more]


def _around(boxes: list[tuple[float, float, float, float] | None]) -> tuple[float, float, float, float] | None:
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes):
        return None
    west, south, east, north = zip(*known, strict=True)
    return min(west), min(south), max(east), max(north)
