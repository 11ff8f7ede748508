"""Line protocol straight into columns: numbers of known series, with a time; every other line goes the general way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.adapters.http.columns.parts import GOOD, NEW, ODD
from gulou.sensing.adapters.http.columns.trie import (
    FIELD,
    FOLLOW,
    LENGTH,
    LEVEL,
    LINE_HEAD,
    NODES,
    ROOT,
    START,
    UNKNOWN,
    step,
)
from gulou.sensing.sdk.columns import BYTES, SLOTS, parse_number

MOST_FIELDS = 64
"""Lines with more fields go the general way."""
NO_TIME = -(2**63)

_LONGEST_LINE = 65_536
_MOST_TIME_DIGITS = 19
_LARGEST = 2**62
_LARGEST_TENTH = (2**63 - 1) // 10
_LINE_FEED, _RETURN, _TAB, _BLANK = 10, 13, 9, 32
_QUOTE, _HASH, _COMMA, _MINUS, _EQUALS, _BACKSLASH = 34, 35, 44, 45, 61, 92


@compiled(f"int64({BYTES}, int64, int64, boolean)")
def end_of_line(data: NDArray[np.uint8], begin: int, limit: int, quotes: bool) -> int:
    """Return where a line ends: at its line feed, or at ``limit``.

    Args:
        quotes: whether the body has any quote at all; only then can a line feed belong to a field.
    """
    quoted = False
    spaced = False
    at = begin
    while at < limit:
        byte = data[at]
        if byte == _LINE_FEED and not quoted:
            return at
        if quotes:
            if byte == _BACKSLASH:
                at += 1
            elif byte == _BLANK:
                spaced = True
            elif byte == _QUOTE and (quoted or (spaced and data[at - 1] == _EQUALS)):
                quoted = not quoted
        at += 1
    return limit


@compiled(f"Tuple((int64, int64))({BYTES}, int64, int64, int64, int64)")
def read_time(data: NDArray[np.uint8], begin: int, limit: int, unit_ns: int, default_us: int) -> tuple[int, int]:
    """Read what follows the fields: nothing, or a blank and a whole number; then the end of the line.

    Returns:
        (where the line ends, µs UTC), or (``UNKNOWN``, 0) for the general way.
    """
    at = begin
    at_us = default_us
    if at < limit and data[at] == _BLANK:
        at += 1
        negative = at < limit and data[at] == _MINUS
        if negative:
            at += 1
        start = at
        count = 0
        while at < limit and 48 <= data[at] <= 57:
            if count >= _LARGEST_TENTH:
                return UNKNOWN, 0
            count = count * 10 + (int(np.int64(data[at])) - 48)
            at += 1
        if at - start > _MOST_TIME_DIGITS:
            return UNKNOWN, 0
        if at > start:
            if negative:
                count = -count
            if unit_ns == 1:
                at_us = count // 1_000
            else:
                factor = unit_ns // 1_000
                if count > _LARGEST // factor or count < -(_LARGEST // factor):
                    return UNKNOWN, 0
                at_us = count * factor
        elif negative:
            return UNKNOWN, 0
    while at < limit and (data[at] == _BLANK or data[at] == _TAB or data[at] == _RETURN):
        at += 1
    if at_us == NO_TIME or (at < limit and data[at] != _LINE_FEED):
        return UNKNOWN, 0
    return at, at_us


@compiled(f"int64({BYTES}, int64, int64, int64)")
def end_of_value(data: NDArray[np.uint8], begin: int, end: int, limit: int) -> int:
    """Return where the field ends whose number ends at ``end``: behind its ``i`` or ``u``; ``UNKNOWN`` for 1.5i."""
    if end < limit and (data[end] == 105 or data[end] == 117):
        for at in range(begin, end):
            if data[at] != _MINUS and (data[at] < 48 or data[at] > 57):
                return UNKNOWN
        return end + 1
    return end


@compiled(f"int64({BYTES}, int64, int64, int64, int64, int64, {NODES}, {BYTES})")
def expected(
    data: NDArray[np.uint8],
    begin: int,
    limit: int,
    device: int,
    level: int,
    guess: int,
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
) -> int:
    """Return the head on the way to ``guess`` if that and a blank stand at ``begin``, or ``UNKNOWN``."""
    if guess < 0 or (level > 0 and nodes[guess, LEVEL] != device):
        return UNKNOWN
    hoped = int(nodes[guess, LEVEL + level])
    if hoped < 0:
        return UNKNOWN
    stop = begin + int(nodes[hoped, LENGTH])
    if stop >= limit or data[stop] != _BLANK:
        return UNKNOWN
    sent = data[begin:stop]
    known = names[nodes[hoped, START] : nodes[hoped, START] + (stop - begin)]
    different = 0
    for index in range(len(sent)):
        different += sent[index] != known[index]
    return hoped if different == 0 else UNKNOWN


@compiled(
    f"int64({BYTES}, int64, int64, boolean, int64, int64, int64, {SLOTS}, {BYTES}, {NODES}, {BYTES}, "
    "int64[::1], int64[::1], int64[::1], float64[::1], int32[::1], int64[:, ::1], uint8[::1])"
)
def read_lines(
    data: NDArray[np.uint8],
    begin: int,
    limit: int,
    quotes: bool,
    unit_ns: int,
    default_us: int,
    device: int,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
    counts: NDArray[np.int64],
    node_of: NDArray[np.int64],
    observed_at_us: NDArray[np.int64],
    value_of: NDArray[np.float64],
    item_of: NDArray[np.int32],
    spans: NDArray[np.int64],
    states: NDArray[np.uint8],
) -> int:
    """Read lines until the body or the room for results ends; return where the next one begins.

    Args:
        unit_ns: of the times, nanoseconds.
        default_us: time of lines that have none; ``NO_TIME``: they go the general way.
        device: the node of the device that sends; ``ROOT``: a program.
        counts: int64[3], read and written: readings, items, and the last node of the reading before.
        node_of, observed_at_us, value_of, item_of: of each reading.
        spans, states: of each item: begin and end in ``data``, and ``GOOD``, ``ODD`` or ``NEW``.
    """
    level = 0 if device == ROOT else 1
    kind = LINE_HEAD if device == ROOT else FIELD
    rows, items, last = int(counts[0]), int(counts[1]), int(counts[2])
    at = begin
    while at < limit and items < len(states) and rows + MOST_FIELDS <= len(node_of):
        line = at
        while at < limit and (data[at] == _BLANK or data[at] == _TAB or data[at] == _RETURN):
            at += 1
        if at < limit and data[at] == _LINE_FEED:
            at += 1
            continue
        if at >= limit:
            break
        start = at
        state = ODD
        made = 0
        end = UNKNOWN
        before = last
        if data[start] != _HASH:
            guess = UNKNOWN if last < 0 else int(nodes[last, FOLLOW])
            # The head: what it was expected to be, if a blank follows there, else up to the next blank.
            head = expected(data, start, limit, device, level, guess, nodes, names)
            if head >= 0:
                stop = start + int(nodes[head, LENGTH])
                state = GOOD
            else:
                stop = start
                while stop < limit:
                    byte = data[stop]
                    if byte in (_BLANK, _LINE_FEED, _BACKSLASH, _QUOTE):
                        break
                    stop += 1
                if stop < limit and data[stop] == _BLANK:
                    head = step(data, start, stop, device, kind, level, UNKNOWN, slots, keys, nodes, names)
                    state = NEW if head == UNKNOWN else GOOD
            at = stop + 1
            while state == GOOD:
                name = at
                while at < limit:
                    byte = data[at]
                    if byte <= _BLANK or byte in (_EQUALS, _COMMA, _BACKSLASH, _QUOTE):
                        break
                    at += 1
                if at >= limit or data[at] != _EQUALS or at == name or made == MOST_FIELDS:
                    state = ODD
                    break
                node = step(data, name, at, head, FIELD, level + 1, guess, slots, keys, nodes, names)
                number = at + 1
                after, value = parse_number(data, number, limit)
                if after >= 0:
                    after = end_of_value(data, number, after, limit)
                if after < 0:
                    state = ODD
                    break
                if node == UNKNOWN:
                    state = NEW
                    break
                for row in range(rows, rows + made):
                    if node_of[row] == node:
                        state = ODD  # a field that is named twice: the last one counts
                if state == ODD:
                    break
                node_of[rows + made] = node
                value_of[rows + made] = value
                item_of[rows + made] = items
                made += 1
                if before >= 0:
                    nodes[before, FOLLOW] = node
                before = node
                guess = int(nodes[node, FOLLOW])
                at = after
                if at < limit and data[at] == _COMMA:
                    at += 1
                    continue
                end, at_us = read_time(data, at, limit, unit_ns, default_us)
                if end < 0 or end - start > _LONGEST_LINE:
                    state = ODD
                    break
                for row in range(rows, rows + made):
                    observed_at_us[row] = at_us
                break
        if state != GOOD:
            end = end_of_line(data, line, limit, quotes)
        elif end < 0:
            state = ODD
            end = end_of_line(data, line, limit, quotes)
        at = end + 1
        if data[start] == _HASH:
            continue
        while end > start and (data[end - 1] == _BLANK or data[end - 1] == _TAB or data[end - 1] == _RETURN):
            end -= 1
        spans[items, 0], spans[items, 1] = start, end
        states[items] = state
        items += 1
        if state == GOOD:
            rows += made
            last = before
    counts[0], counts[1], counts[2] = rows, items, last
    return at
