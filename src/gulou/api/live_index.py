"""Which live clients an entity concerns: looked up by id, place or type, not asked of each client."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain

from gulou.api.mailbox import Mailbox
from gulou.hub.context import Interest

_STEP = 0.1  # degrees; about ten kilometres
_MOST_CELLS = 400  # a box that covers more is asked for every entity that has a place
_Cell = tuple[int, int]


class LiveIndex:
    """The clients that want entities, each under the narrowest of its conditions. Never changed, made anew.

    Args:
        mailboxes: of the clients connected now.
    """

    def __init__(self, mailboxes: Iterable[Mailbox] = ()) -> None:
        self.interests: list[Interest] = []
        self._by_id: dict[str, list[Mailbox]] = {}
        self._by_cell: dict[_Cell, list[Mailbox]] = {}
        self._by_type: dict[str, list[Mailbox]] = {}
        self._placed: list[Mailbox] = []
        self._all: list[Mailbox] = []
        for mailbox in mailboxes:
            self._add(mailbox)

    def __bool__(self) -> bool:
        return bool(self.interests)

    def concerned(self, entity_id: str, entity_type: str, point: tuple[float, float] | None) -> Iterator[Mailbox]:
        """Yield the clients that asked for an entity and may see it.

        Args:
            point: its longitude and latitude in degrees, WGS 84.
        """
        groups = [self._all, self._by_id.get(entity_id, ()), self._by_type.get(entity_type, ())]
        if point is not None and (self._by_cell or self._placed):
            groups += [self._placed, self._by_cell.get(_cell(*point), ())]
        for mailbox in chain.from_iterable(groups):
            if mailbox.wants_entity(entity_id, entity_type, point):
                yield mailbox

    def _add(self, mailbox: Mailbox) -> None:
        wanted = mailbox.wanted.entities
        if wanted is False:
            return
        if wanted is True:
            self.interests.append(Interest())
            self._all.append(mailbox)
            return
        types = None if wanted.types is None else frozenset(wanted.types)
        ids = None if wanted.ids is None else frozenset(wanted.ids)
        self.interests.append(Interest(types, ids, wanted.bbox))
        if ids is not None:
            for entity_id in ids:
                self._by_id.setdefault(entity_id, []).append(mailbox)
        elif wanted.bbox is not None:
            cells = _cells(wanted.bbox)
            if cells is None:
                self._placed.append(mailbox)
            for cell in cells or ():
                self._by_cell.setdefault(cell, []).append(mailbox)
        elif types is not None:
            for name in types:
                self._by_type.setdefault(name, []).append(mailbox)
        else:
            self._all.append(mailbox)


def _cell(lon: float, lat: float) -> _Cell:
    return math.floor(lon / _STEP), math.floor(lat / _STEP)


def _cells(box: tuple[float, float, float, float]) -> list[_Cell] | None:
    """Return the cells that a box touches; None where they are too many to be listed, or not numbers."""
    if not all(map(math.isfinite, box)):
        return None
    (west, south), (east, north) = _cell(box[0], box[1]), _cell(box[2], box[3])
    if (east - west + 1) * (north - south + 1) > _MOST_CELLS:
        return None
    return [(x, y) for x in range(west, east + 1) for y in range(south, north + 1)]
