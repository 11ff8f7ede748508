"""What senders call their series, as a tree of names that kernels walk: entity → property → type → unit, and the like.

The bytes between the quotes of a JSON row, or before the blank of a line, lead from node to node; the last node knows
the route. Each last node remembers which one came after it, since most senders send the same series in the same order:
then a walk is a comparison of bytes, without a look into the hash table, which is far from the processor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.sdk.columns import BYTES, SLOTS, ByteTable, find_key

NODES = "int32[:, ::1]"
"""The signature of ``Trie.nodes``."""
START, LENGTH, ROUTE, FOLLOW, LEVEL = 0, 1, 2, 3, 4
"""Columns of a node: its name in ``names``, its route, the last node that came after it, and from ``LEVEL`` on the
nodes on the way to it from the root, itself included."""
LEVELS = 4
ROOT = -1
UNKNOWN = -1
GENERAL = -2
"""The route of what goes as objects: texts, lists, readings of a series that another device reports."""

LINE_HEAD, ENTITY, DEVICE = 0, 1, 2
"""Kinds of names at the root."""
FIELD, PROPERTY, TYPE, UNIT = 0, 1, 2, 3
"""Kinds of names further down; the head of a device's line counts as ``FIELD``, a channel as ``PROPERTY``."""

_FIRST_NODES = 1_024
_FIRST_BYTES = 16_384
_MOST_NODES = 2_000_000
_MOST_BYTES = 256 * 2**20


@compiled(f"int64({BYTES}, int64, int64, int64, int64, int64, int64, {SLOTS}, {BYTES}, {NODES}, {BYTES})")
def step(
    data: NDArray[np.uint8],
    begin: int,
    end: int,
    node: int,
    kind: int,
    level: int,
    guess: int,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
) -> int:
    """Go from ``node`` down by the name ``data[begin:end]``; return the node there, or ``UNKNOWN``.

    Args:
        level: of the node that is looked for; 0 below the root.
        guess: the last node on the way that is expected, or ``UNKNOWN``; a wrong guess costs time only.
    """
    if guess >= 0:
        hoped = int(nodes[guess, LEVEL + level])
        if (
            hoped >= 0
            and nodes[hoped, LENGTH] == end - begin
            and (level == 0 or nodes[guess, LEVEL + level - 1] == node)
        ):
            sent = data[begin:end]
            known = names[nodes[hoped, START] : nodes[hoped, START] + (end - begin)]
            different = 0
            for at in range(len(sent)):
                different += sent[at] != known[at]
            if different == 0:
                return int(hoped)
    return find_key(slots, keys, data, begin, end, 4 * (node + 1) + kind)


class Trie:
    """The tree. Whoever reads or changes it holds its owner's lock."""

    def __init__(self) -> None:
        self.generation = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything. ``generation`` tells of it."""
        self.generation += 1
        self._table = ByteTable()
        self._count = 0
        self._filled = 0
        self.nodes: NDArray[np.int32] = np.zeros((_FIRST_NODES, LEVEL + LEVELS), np.int32)
        self.names: NDArray[np.uint8] = np.zeros(_FIRST_BYTES, np.uint8)

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32], NDArray[np.uint8]]:
        """What kernels take: slots, keys, nodes, names; anew for each call."""
        return self._table.slots, self._table.keys, self.nodes, self.names

    @property
    def is_full(self) -> bool:
        """True when it is time to begin anew: names are made up by senders, memory is not."""
        return self._count >= _MOST_NODES or self._filled >= _MOST_BYTES

    def find(self, node: int, kind: int, name: bytes) -> int:
        """Return a child, or ``UNKNOWN``."""
        return self._table.find(name, 4 * (node + 1) + kind)

    def add(self, node: int, kind: int, name: bytes) -> int:
        """Return a child, made now with the route ``GENERAL`` if it is not there.

        Raises:
            ValueError: a name of over 65,535 bytes.
        """
        known = self.find(node, kind, name)
        if known != UNKNOWN:
            return known
        way = [] if node == ROOT else [one for one in self.nodes[node, LEVEL:].tolist() if one >= 0]
        if len(way) == LEVELS:
            raise ValueError("too deep")
        made = self._count
        self._make_room(len(name))
        self._table.put(name, made, 4 * (node + 1) + kind)
        way = [*way, made] + [UNKNOWN] * (LEVELS - 1 - len(way))
        self.nodes[made] = (self._filled, len(name), GENERAL, UNKNOWN, *way)
        self.names[self._filled : self._filled + len(name)] = np.frombuffer(name, np.uint8)
        self._filled += len(name)
        self._count += 1
        return made

    def set_route(self, node: int, route: int) -> None:
        """Say where a node's readings go."""
        self.nodes[node, ROUTE] = route

    def _make_room(self, length: int) -> None:
        if self._count == len(self.nodes):
            self.nodes = np.concatenate([self.nodes, np.zeros_like(self.nodes)])
        if self._filled + length > len(self.names):
            longer = np.zeros(max(2 * len(self.names), self._filled + length), np.uint8)
            longer[: self._filled] = self.names[: self._filled]
            self.names = longer
