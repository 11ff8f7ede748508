"""JSON and NDJSON straight into columns: a program's rows, a device's objects of channel values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.adapters.http.columns.line import MOST_FIELDS
from gulou.sensing.adapters.http.columns.parts import GOOD, NEW, ODD
from gulou.sensing.adapters.http.columns.trie import (
    ENTITY,
    FOLLOW,
    NODES,
    PROPERTY,
    ROOT,
    TYPE,
    UNIT,
    UNKNOWN,
    step,
)
from gulou.sensing.sdk.columns import BYTES, NOT_A_TIME, SLOTS, parse_number, parse_rfc3339

BROKEN = -2
"""What the kernels return for a list that is not one: the whole body goes the general way, which says why."""
OPENED = -1
"""State of a list whose bracket was read, and nothing behind it."""

_LINE_FEED, _BLANK, _QUOTE, _COMMA, _COLON, _BACKSLASH = 10, 32, 34, 44, 58, 92
_OPEN_LIST, _CLOSE_LIST, _OPEN, _CLOSE = 91, 93, 123, 125
_OTHER, _ENTITY, _TYPE, _PROPERTY, _VALUE, _TIME, _UNIT = 0, 1, 2, 3, 4, 5, 6
_WORDS = np.frombuffer(b"entitytypepropertyvalueobservedAtunit", np.uint8).copy()
_DEEPEST = 200


@compiled(f"int64({BYTES}, int64, int64, boolean)")
def past_space(data: NDArray[np.uint8], begin: int, limit: int, listed: bool) -> int:
    """Return where something other than JSON's white space stands; where lines are items, a line feed is none."""
    at = begin
    while at < limit and (data[at] == _BLANK or data[at] == 9 or data[at] == 13 or (listed and data[at] == _LINE_FEED)):
        at += 1
    return at


@compiled(f"int64({BYTES}, int64, int64)")
def end_of_text(data: NDArray[np.uint8], begin: int, limit: int) -> int:
    """Return where the quote stands that ends a text without escapes and control characters, or ``UNKNOWN``."""
    at = begin
    while at < limit:
        byte = data[at]
        if byte == _QUOTE:
            return at
        if byte == _BACKSLASH or byte < _BLANK:
            return UNKNOWN
        at += 1
    return UNKNOWN


@compiled(f"int64({BYTES}, int64, int64)")
def past_value(data: NDArray[np.uint8], begin: int, limit: int) -> int:
    """Return where a JSON value of any shape ends, ``BROKEN`` if it does not. What is in it is not checked."""
    at = begin
    depth = 0
    while at < limit:
        byte = data[at]
        if byte == _QUOTE:
            at += 1
            while at < limit and data[at] != _QUOTE:
                at += 2 if data[at] == _BACKSLASH else 1
            if at >= limit:
                return BROKEN
        elif byte in (_OPEN, _OPEN_LIST):
            depth += 1
            if depth > _DEEPEST:
                return BROKEN
        elif byte in (_CLOSE, _CLOSE_LIST):
            if depth == 0:
                return at if at > begin else BROKEN
            depth -= 1
            if depth == 0:
                return at + 1
        elif depth == 0 and byte == _COMMA:
            return at if at > begin else BROKEN
        elif depth == 0 and byte in (_BLANK, _LINE_FEED, 13, 9):
            return at
        at += 1
    return BROKEN


@compiled(f"int64({BYTES}, int64, int64)")
def key_of(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """Tell which key of a row a name is."""
    length = end - begin
    if length == 5:
        first, key = 18, _VALUE
    elif length == 6:
        first, key = 0, _ENTITY
    elif length == 8:
        first, key = 10, _PROPERTY
    elif length == 10:
        first, key = 23, _TIME
    elif length == 4 and data[begin] == 116:
        first, key = 6, _TYPE
    elif length == 4:
        first, key = 33, _UNIT
    else:
        return _OTHER
    for at in range(length):
        if data[begin + at] != _WORDS[first + at]:
            return _OTHER
    return key


@compiled(
    f"Tuple((int64, int64, int64))({BYTES}, int64, int64, boolean, int64, int64, {SLOTS}, {BYTES}, {NODES}, {BYTES}, "
    "int64[::1], int64[::1], float64[::1])"
)
def read_row(
    data: NDArray[np.uint8],
    begin: int,
    limit: int,
    listed: bool,
    row: int,
    last: int,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
    node_of: NDArray[np.int64],
    observed_at_us: NDArray[np.int64],
    value_of: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Read a program's row, whose brace stands at ``begin``; return (its end, its state, 1 if it is a reading)."""
    entity = entity_end = kind = kind_end = name = name_end = unit = unit_end = UNKNOWN
    value = 0.0
    at_us = NOT_A_TIME
    valued = False
    at = begin + 1
    while True:
        at = past_space(data, at, limit, listed)
        if at >= limit or data[at] != _QUOTE:
            return UNKNOWN, ODD, 0
        stop = end_of_text(data, at + 1, limit)
        if stop < 0:
            return UNKNOWN, ODD, 0
        key = key_of(data, at + 1, stop)
        at = past_space(data, stop + 1, limit, listed)
        if at >= limit or data[at] != _COLON:
            return UNKNOWN, ODD, 0
        at = past_space(data, at + 1, limit, listed)
        if at >= limit:
            return UNKNOWN, ODD, 0
        if key == _VALUE:
            stop, value = parse_number(data, at, limit)
            if stop < 0 or valued:
                return UNKNOWN, ODD, 0
            valued = True
            at = stop
        else:
            stop = end_of_text(data, at + 1, limit) if data[at] == _QUOTE else UNKNOWN
            if stop < 0:
                return UNKNOWN, ODD, 0
            begun = at + 1
            at = stop + 1
            if key == _TIME and at_us == NOT_A_TIME:
                at_us = parse_rfc3339(data, begun, stop)
                if at_us == NOT_A_TIME:
                    return UNKNOWN, ODD, 0
            elif key == _ENTITY and entity < 0:
                entity, entity_end = begun, stop
            elif key == _PROPERTY and name < 0:
                name, name_end = begun, stop
            elif key == _TYPE and kind < 0:
                kind, kind_end = begun, stop
            elif key == _UNIT and unit < 0:
                unit, unit_end = begun, stop
            else:
                return UNKNOWN, ODD, 0
        at = past_space(data, at, limit, listed)
        if at >= limit:
            return UNKNOWN, ODD, 0
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return UNKNOWN, ODD, 0
        at += 1
    if entity < 0 or name < 0 or not valued or at_us == NOT_A_TIME:
        return UNKNOWN, ODD, 0
    guess = UNKNOWN if last < 0 else int(nodes[last, FOLLOW])
    node = step(data, entity, entity_end, ROOT, ENTITY, 0, guess, slots, keys, nodes, names)
    level = 1
    if node >= 0:
        node = step(data, name, name_end, node, PROPERTY, level, guess, slots, keys, nodes, names)
    if node >= 0 and kind >= 0:
        level += 1
        node = step(data, kind, kind_end, node, TYPE, level, guess, slots, keys, nodes, names)
    if node >= 0 and unit >= 0:
        level += 1
        node = step(data, unit, unit_end, node, UNIT, level, guess, slots, keys, nodes, names)
    if node < 0:
        return at + 1, NEW, 0
    if last >= 0:
        nodes[last, FOLLOW] = node
    node_of[row] = node
    observed_at_us[row] = at_us
    value_of[row] = value
    return at + 1, GOOD, 1


@compiled(
    f"Tuple((int64, int64, int64))({BYTES}, int64, int64, boolean, int64, int64, int64, int64, {SLOTS}, {BYTES}, "
    f"{NODES}, {BYTES}, int64[::1], int64[::1], float64[::1])"
)
def read_object(
    data: NDArray[np.uint8],
    begin: int,
    limit: int,
    listed: bool,
    row: int,
    last: int,
    device: int,
    default_us: int,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
    node_of: NDArray[np.int64],
    observed_at_us: NDArray[np.int64],
    value_of: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Read a device's object, whose brace stands at ``begin``; return (its end, its state, how many readings)."""
    at_us = NOT_A_TIME
    made = 0
    state = GOOD
    before = last
    at = past_space(data, begin + 1, limit, listed)
    if at < limit and data[at] == _CLOSE:
        return at + 1, GOOD, 0
    while True:
        at = past_space(data, at, limit, listed)
        if at >= limit or data[at] != _QUOTE:
            return UNKNOWN, ODD, 0
        name, stop = at + 1, end_of_text(data, at + 1, limit)
        if stop < 0:
            return UNKNOWN, ODD, 0
        name_end = stop
        at = past_space(data, stop + 1, limit, listed)
        if at >= limit or data[at] != _COLON:
            return UNKNOWN, ODD, 0
        at = past_space(data, at + 1, limit, listed)
        if at >= limit:
            return UNKNOWN, ODD, 0
        if key_of(data, name, name_end) == _TIME:
            stop = end_of_text(data, at + 1, limit) if data[at] == _QUOTE else UNKNOWN
            if stop < 0 or at_us != NOT_A_TIME:
                return UNKNOWN, ODD, 0
            at_us = parse_rfc3339(data, at + 1, stop)
            if at_us == NOT_A_TIME:
                return UNKNOWN, ODD, 0
            at = stop + 1
        else:
            stop, value = parse_number(data, at, limit)
            if stop < 0 or made == MOST_FIELDS:
                return UNKNOWN, ODD, 0
            at = stop
            guess = UNKNOWN if before < 0 else int(nodes[before, FOLLOW])
            node = step(data, name, name_end, device, PROPERTY, 1, guess, slots, keys, nodes, names)
            if node < 0:
                state = NEW
            else:
                for earlier in range(row, row + made):
                    if node_of[earlier] == node:
                        return UNKNOWN, ODD, 0  # a channel that is named twice: the last one counts
                if before >= 0:
                    nodes[before, FOLLOW] = node
                before = node
                node_of[row + made] = node
                value_of[row + made] = value
                made += 1
        at = past_space(data, at, limit, listed)
        if at >= limit:
            return UNKNOWN, ODD, 0
        if data[at] == _CLOSE:
            break
        if data[at] != _COMMA:
            return UNKNOWN, ODD, 0
        at += 1
    if state == NEW:
        return at + 1, NEW, 0
    if at_us == NOT_A_TIME:
        at_us = default_us
    for index in range(row, row + made):
        observed_at_us[index] = at_us
    return at + 1, GOOD, made


@compiled(
    f"int64({BYTES}, int64, int64, boolean, int64, int64, {SLOTS}, {BYTES}, {NODES}, {BYTES}, "
    "int64[::1], int64[::1], int64[::1], float64[::1], int32[::1], int64[:, ::1], uint8[::1])"
)
def read_json_items(
    data: NDArray[np.uint8],
    begin: int,
    limit: int,
    listed: bool,
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
    """Read items until the body or the room for results ends; return where to go on, or ``BROKEN``.

    Args:
        begin: 0, or what the turn before returned.
        listed: whether the body is a JSON list; else each line is an item.
        default_us: time of a device's objects that have none.
        device: the node of the device that sends objects; ``ROOT``: a program sends rows.
        counts and the rest: as of ``read_lines``.
    """
    rows, items, last = int(counts[0]), int(counts[1]), int(counts[2])
    at = begin
    while items < len(states) and rows + MOST_FIELDS <= len(node_of):
        at = past_space(data, at, limit, listed)
        if listed:
            first = at < limit and data[at] == _OPEN_LIST and begin == 0 and items == 0
            if at >= limit:
                return BROKEN
            if data[at] == _CLOSE_LIST:
                at = past_space(data, at + 1, limit, listed)
                if at != limit:
                    return BROKEN
                break
            if not first and data[at] != _COMMA:
                return BROKEN
            at = past_space(data, at + 1, limit, listed)
            if at < limit and data[at] == _CLOSE_LIST and first:
                continue
            if at >= limit:
                return BROKEN
        else:
            while at < limit and ((data[at] <= 13 and data[at] >= 9) or data[at] == _BLANK):
                at += 1
            if at >= limit:
                break
        start = at
        end, state, made = UNKNOWN, ODD, 0
        if data[start] == _OPEN:
            if device == ROOT:
                end, state, made = read_row(
                    data, start, limit, listed, rows, last, slots, keys, nodes, names, node_of, observed_at_us, value_of
                )
            else:
                end, state, made = read_object(
                    data,
                    start,
                    limit,
                    listed,
                    rows,
                    last,
                    device,
                    default_us,
                    slots,
                    keys,
                    nodes,
                    names,
                    node_of,
                    observed_at_us,
                    value_of,
                )
        if listed:
            if end < 0:
                end = past_value(data, start, limit)
                if end < 0:
                    return BROKEN
            at = end
        else:
            # A line is an item whatever is in it.
            stop = start
            if state != ODD:
                stop = end
                while stop < limit and data[stop] != _LINE_FEED:
                    if data[stop] != _BLANK and data[stop] != 13 and data[stop] != 9:
                        state = ODD
                    stop += 1
            if state == ODD:
                stop = start
                while stop < limit and data[stop] != _LINE_FEED:
                    stop += 1
            at = stop + 1
            end = min(stop, limit)
            while end > start and ((data[end - 1] <= 13 and data[end - 1] >= 9) or data[end - 1] == _BLANK):
                end -= 1
        spans[items, 0], spans[items, 1] = start, end
        states[items] = state
        if state == GOOD and made > 0:
            for index in range(rows, rows + made):
                item_of[index] = items
            rows += made
            last = node_of[rows - 1]
        items += 1
    counts[0], counts[1], counts[2] = rows, items, last
    return min(at, limit)
