"""Topics and filters in a tree by levels: what matches is found without asking every subscription."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Node(Generic[K, V]):
    __slots__ = ("below", "entries")

    def __init__(self) -> None:
        self.below: dict[str, _Node[K, V]] = {}
        self.entries: dict[K, V] = {}


class TopicTree(Generic[K, V]):
    """Values by topic (or filter) and key. Its memory follows its content: empty branches go. One thread.

    Source: MQTT 5.0 §4.7.
    """

    def __init__(self) -> None:
        self._root: _Node[K, V] = _Node()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, path: str, key: K, value: V) -> bool:
        """Set a value; True when there was none."""
        node = self._root
        for level in path.split("/"):
            below = node.below.get(level)
            if below is None:
                below = node.below[level] = _Node()
            node = below
        fresh = key not in node.entries
        node.entries[key] = value
        self._count += fresh
        return fresh

    def get(self, path: str, key: K) -> V | None:
        """Return a value, or None."""
        node = self._root
        for level in path.split("/"):
            below = node.below.get(level)
            if below is None:
                return None
            node = below
        return node.entries.get(key)

    def remove(self, path: str, key: K) -> bool:
        """Take a value away; False when it was not there."""
        way = [self._root]
        levels = path.split("/")
        for level in levels:
            below = way[-1].below.get(level)
            if below is None:
                return False
            way.append(below)
        if way[-1].entries.pop(key, None) is None:
            return False
        self._count -= 1
        for above, level in zip(reversed(way[:-1]), reversed(levels), strict=True):
            node = above.below[level]
            if node.entries or node.below:
                break
            del above.below[level]
        return True

    def matching(self, topic: str) -> Iterator[tuple[K, V]]:
        """Yield what stands at filters that match a topic."""
        levels = topic.split("/")
        hidden = topic.startswith("$")
        nodes = [self._root]
        for depth, level in enumerate(levels):
            found: list[_Node[K, V]] = []
            for node in nodes:
                by_name = node.below.get(level)
                if by_name is not None:
                    found.append(by_name)
                if depth or not hidden:
                    by_plus = node.below.get("+")
                    if by_plus is not None:
                        found.append(by_plus)
                    rest = node.below.get("#")
                    if rest is not None:
                        yield from rest.entries.items()
            nodes = found
        for node in nodes:
            yield from node.entries.items()
            rest = node.below.get("#")
            if rest is not None:
                yield from rest.entries.items()

    def under(self, topic_filter: str) -> Iterator[tuple[K, V]]:
        """Yield what stands at topics that a filter matches."""
        levels = topic_filter.split("/")
        nodes = [self._root]
        for depth, level in enumerate(levels):
            if level == "#":
                for node in nodes:
                    yield from self._all(node, top=depth == 0)
                return
            found: list[_Node[K, V]] = []
            for node in nodes:
                if level == "+":
                    found += [one for name, one in node.below.items() if depth or not name.startswith("$")]
                elif level in node.below:
                    found.append(node.below[level])
            nodes = found
        for node in nodes:
            yield from node.entries.items()

    def _all(self, start: _Node[K, V], *, top: bool) -> Iterator[tuple[K, V]]:
        yield from start.entries.items()
        waiting = [one for name, one in start.below.items() if not (top and name.startswith("$"))]
        while waiting:
            node = waiting.pop()
            yield from node.entries.items()
            waiting += node.below.values()
