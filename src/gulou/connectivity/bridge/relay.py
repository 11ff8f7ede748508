"""Which messages of the bus cross the bridge, and what is kept of them for a listener that is away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from gulou.connectivity.bridge.frames import Told
from gulou.connectivity.bus import Message, encode_message


class Relay:
    """The kinds that cross, and the newest of those that are kept.

    Args:
        kept: kinds that a listener must not miss: they are numbered, and the newest ``bound`` wait for who is away.
        passing: kinds that only matter while they are heard.
    """

    def __init__(
        self, kept: Iterable[type[Message]], passing: Iterable[type[Message]] = (), bound: int = 10_000
    ) -> None:
        self._kept = frozenset(kept)
        self._passing = frozenset(passing)
        self._guard = threading.Lock()
        self._held: deque[Told] = deque(maxlen=bound)
        self._last = 0

    def take(self, messages: Iterable[Message]) -> list[Told]:
        """Return messages as they cross, numbered where they are kept; without those of kinds that do not."""
        crossing = [
            (type(one) in self._kept, encode_message(one))
            for one in messages
            if type(one) in self._kept or type(one) in self._passing
        ]
        with self._guard:
            return [self._number(body) if is_kept else Told(0, body) for is_kept, body in crossing]

    def _number(self, body: bytes) -> Told:
        self._last += 1
        told = Told(self._last, body)
        self._held.append(told)
        return told

    def since(self, number: int) -> tuple[list[Told], bool]:
        """Return the kept messages after ``number``, and whether none is missing among them."""
        with self._guard:
            held = [told for told in self._held if told.number > number]
            first = self._held[0].number if self._held else self._last + 1
            return held, first <= number + 1
