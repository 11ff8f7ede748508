"""Which number stands for a property of an entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Named(Protocol):
    """What a number stands for."""

    @property
    def entity_id(self) -> str:
        """Of which entity."""

    @property
    def property(self) -> str:
        """Which property."""


class SeriesNames:
    """Numbers by property and entity. Any thread may ask; one at a time adds.

    Those that are there at the start are found by sorted hashes, which a start makes in a quarter of the time that a
    dictionary of a million names takes; each goes into the dictionary when it is first asked for.

    Args:
        named: what each number stands for; its owner appends to it before it adds here.
    """

    def __init__(self, named: Sequence[Named]) -> None:
        self._named = named
        self._numbers: dict[str, dict[str, int]] = {}
        self._hashes: NDArray[np.int64] = np.zeros(0, np.int64)
        self._hashed: NDArray[np.int32] = np.zeros(0, np.int32)

    def begin(self, count: int) -> None:
        """Add the first ``count`` numbers, before any other."""
        hashes = np.fromiter(map(hash, [one.entity_id for one in self._named[:count]]), np.int64, count)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._hashed = hashes[order], order.astype(np.int32)

    def add(self, first: int, fresh: Sequence[Named]) -> None:
        """Add numbers from ``first`` on."""
        numbers = self._numbers
        for number, one in enumerate(fresh, first):
            numbers.setdefault(one.property, {})[one.entity_id] = number

    def find(self, entity_id: str, name: str) -> int | None:
        """Return the number of a property of an entity, or None."""
        numbers = self._numbers.get(name)
        number = None if numbers is None else numbers.get(entity_id)
        if number is None and len(self._hashes):
            number = self._find_hashed(entity_id, name)
            if number is not None:
                self._numbers.setdefault(name, {})[entity_id] = number
        return number

    def find_many(self, entity_ids: Sequence[str], name: str) -> NDArray[np.int64]:
        """Return the number of a property of each of many entities, -1 for none; shape (n,).

        For a start, which asks for all: what is found by hash is not put into the dictionary.
        """
        numbers, hashes = self._numbers.get(name, {}), self._hashes
        found = np.fromiter((numbers.get(one, -1) for one in entity_ids), np.int64, len(entity_ids))
        left = np.flatnonzero(found < 0).tolist()
        if not left or not len(hashes):
            return found
        wanted = np.fromiter((hash(entity_ids[place]) for place in left), np.int64, len(left))
        places = hashes.searchsorted(wanted)
        places[places == len(hashes)] = 0
        guessed = np.where(hashes[places] == wanted, self._hashed[places], -1)
        for place, number in zip(left, guessed.tolist(), strict=True):
            if number >= 0:
                one, entity_id = self._named[number], entity_ids[place]
                if one.property == name and one.entity_id == entity_id:
                    found[place] = number
                elif (other := self.find(entity_id, name)) is not None:
                    found[place] = other
        return found

    def _find_hashed(self, entity_id: str, name: str) -> int | None:
        wanted, hashes = hash(entity_id), self._hashes
        place = int(hashes.searchsorted(wanted))
        while place < len(hashes) and hashes[place] == wanted:
            number = int(self._hashed[place])
            one = self._named[number]
            if one.property == name and one.entity_id == entity_id:
                return number
            place += 1
        return None
