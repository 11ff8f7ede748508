"""What a body becomes on its way to the intake: parts, in the order of the body, columns where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, Payload
from gulou.connectivity.intake.model import RawOf

MOST_READINGS = 20_000
"""About so many readings go into one submission."""
_MOST_TURNS = 16

GOOD, ODD, NEW = 0, 1, 2
"""States of an item: in the columns; for the general way; with a name that is not known yet."""


@dataclass(frozen=True, slots=True)
class Part:
    """A submission's worth of a body: either columns or payloads.

    Args:
        reach: how many items (rows, lines, messages) of the body it and the parts before it cover. It depends on the
            body alone, so that a repeated body can be taken up where the first try ended.
    """

    reach: int
    columns: Columns | None = None
    raw_of: RawOf | None = None
    payloads: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a kernel made of some items of a body.

    Args:
        route: int32[n], of each reading; negative: none.
        observed_at_us: int64[n].
        value: float64[n], as sent.
        item: int32[n], growing: the item of each reading, from 0 in this chunk.
        state: uint8[m], of each item. Readings stand here of good items only.
    """

    route: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    value: NDArray[np.float64]
    item: NDArray[np.int32]
    state: NDArray[np.uint8]


def cut_payloads(payloads: Sequence[Payload], reached: int = 0) -> Iterator[Part]:
    """Cut payloads into parts of a size that the intake takes. An empty body is one empty part."""
    group: list[Payload] = []
    size = 0
    for index, payload in enumerate(payloads):
        more = len(payload.readings) + len(payload.flaws)
        if group and size + more > MOST_READINGS:
            yield Part(reached + index, payloads=tuple(group))
            group, size = [], 0
        group.append(payload)
        size += more
    if group:
        yield Part(reached + len(payloads), payloads=tuple(group))


def cut_chunk(
    columns: Columns,
    item: NDArray[np.int32],
    odd: NDArray[np.bool_],
    payload_of: Callable[[int], Payload],
    raw_of: Callable[[int], Payload],
    reached: int,
) -> Iterator[Part]:
    """Cut a chunk wherever good and odd items meet; where that is too often, all of it goes as objects.

    Args:
        item: int32[n], the item of each row of ``columns``.
        odd: bool[m], by item.
        payload_of: reads one item in the general way.
        raw_of: returns one item as it was sent, as a payload without readings.
    """
    count = len(odd)
    turns = np.flatnonzero(np.diff(odd)) + 1
    if len(turns) > _MOST_TURNS:
        yield from cut_payloads([payload_of(index) for index in range(count)], reached)
        return
    edges = [0, *turns.tolist(), count]
    for begin, end in pairwise(edges):
        if odd[begin]:
            yield from cut_payloads([payload_of(index) for index in range(begin, end)], reached + begin)
            continue
        rows = slice(*np.searchsorted(item, (begin, end)).tolist())
        yield Part(
            reached + end,
            Columns(columns.series[rows], columns.observed_at_us[rows], columns.value[rows]),
            _kept_raws(item[rows], raw_of),
        )


def _kept_raws(item: NDArray[np.int32], raw_of: Callable[[int], Payload]) -> RawOf:
    """Return the same payload for all rows of an item, so that its bytes are kept once."""
    made: dict[int, Payload] = {}

    def raw(row: int) -> Payload:
        index = int(item[row])
        payload = made.get(index)
        if payload is None:
            payload = made[index] = raw_of(index)
        return payload

    return raw
