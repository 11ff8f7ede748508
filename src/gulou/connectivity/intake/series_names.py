"""Which number stands for a property of an entity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.names import HashedNames


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

    Those that are there at the start are found by their hashes; each goes into the dictionary when it is first asked
    for.

    Args:
        get: returns what a number stands for.
    """

    def __init__(self, get: Callable[[int], Named]) -> None:
        self._get = get
        self._numbers: dict[str, dict[str, int]] = {}
        self._at_start: HashedNames | None = None

    def begin(self, names: HashedNames) -> None:
        """Add the first numbers, by the entity's id with the property behind it, before any other."""
        self._at_start = names

    def add(self, first: int, fresh: Sequence[Named]) -> None:
        """Add numbers from ``first`` on."""
        numbers = self._numbers
        for number, one in enumerate(fresh, first):
            numbers.setdefault(one.property, {})[one.entity_id] = number

    def find(self, entity_id: str, name: str) -> int | None:
        """Return the number of a property of an entity, or None."""
        numbers = self._numbers.get(name)
        number = None if numbers is None else numbers.get(entity_id)
        if number is None and self._at_start is not None:
            number = self._find_hashed(self._at_start, entity_id, name)
            if number is not None:
                self._numbers.setdefault(name, {})[entity_id] = number
        return number

    def find_many(self, entity_ids: Sequence[str], name: str) -> NDArray[np.int64]:
        """Return the number of a property of each of many entities, -1 for none; shape (n,).

        For a start, which asks for all: what is found by hash is not put into the dictionary.
        """
        numbers = self._numbers.get(name, {})
        found = np.fromiter((numbers.get(one, -1) for one in entity_ids), np.int64, len(entity_ids))
        left = np.flatnonzero(found < 0).tolist()
        if not left or self._at_start is None:
            return found
        guessed = self._at_start.first_candidates([entity_ids[place] + name for place in left])
        for place, number in zip(left, guessed.tolist(), strict=True):
            if number >= 0:
                one, entity_id = self._get(number), entity_ids[place]
                if one.property == name and one.entity_id == entity_id:
                    found[place] = number
                elif (other := self.find(entity_id, name)) is not None:
                    found[place] = other
        return found

    def _find_hashed(self, at_start: HashedNames, entity_id: str, name: str) -> int | None:
        for number in at_start.candidates(entity_id + name):
            one = self._get(number)
            if one.property == name and one.entity_id == entity_id:
                return number
        return None
