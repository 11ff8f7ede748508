"""A mapping that grows in small steps, where one of a million entries would stop everything while it is copied."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

V = TypeVar("V")
_SHARDS = 1 << 9


class Shards(MutableMapping[str, V]):
    """A mapping from texts, spread over many small ones; its order means nothing.

    Other threads may look at it while one changes it; ``values`` and ``items`` are as of some moment near.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[dict[str, V]] = [{} for _ in range(_SHARDS)]

    def __getitem__(self, key: str) -> V:
        return self._parts[hash(key) & _SHARDS - 1][key]

    def __setitem__(self, key: str, value: V) -> None:
        self._parts[hash(key) & _SHARDS - 1][key] = value

    def __delitem__(self, key: str) -> None:
        del self._parts[hash(key) & _SHARDS - 1][key]

    def __contains__(self, key: object) -> bool:
        return key in self._parts[hash(key) & _SHARDS - 1]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from list(part)
