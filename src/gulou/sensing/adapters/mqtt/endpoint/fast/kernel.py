"""The compiled way from received bytes to rows: whole PUBLISH frames with plain numbers of known channels.

The kernel never decides that something is wrong. It stops before what it does not take, and says where and why.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.adapters.mqtt.endpoint.fast.payload import after_blanks, after_text, is_time_key
from gulou.sensing.sdk.columns import (
    BYTES,
    NOT_A_TIME,
    NOT_FOUND,
    NOT_MINE,
    SLOTS,
    find_key,
    parse_number,
    parse_rfc3339,
)

EMPTY, GENERAL, LARGE, FULL, NEW_TOPIC, NEW_CHANNEL, BROKEN = 0, 1, 2, 3, 4, 5, 6
"""Why the kernel stopped in a piece: no whole frame is left; a frame for the general way; the beginning of a frame that
is too large to be waited for here; no room for more rows; a topic, a channel that is not known; a length that is none
or too large."""

BEGIN, END, SENDER, VERSION, ROOM, STOP, WHY, NEXT, MESSAGES, ACKS_BEGIN, ACKS_END, DETAIL_BEGIN, DETAIL_END, DEVICE = (
    range(14)
)
PIECE_COLUMNS = 14
"""Of a piece. In: its bytes; the sender's number; the protocol's version; messages that it may still send. Out: where
and why the kernel stopped; where the frame there ends; how many messages it took; which acknowledgements are theirs;
where the unknown name stands, and the device that has the unknown channel."""

PACKET_ID, FIRST_ROW, PAYLOAD_BEGIN, PAYLOAD_END, MESSAGE_DEVICE = range(5)
MESSAGE_COLUMNS = 5
"""Of a message; the packet id is 0 at QoS 0."""

MOST_CHANNELS = 64
"""Messages with more go the general way."""
LARGEST_FRAME = 16_384
"""Bytes of a frame whose beginning is kept and read again when the rest comes; larger ones go the general way."""

_OUT = "int64[:, ::1]"
_LARGEST = 1.7976931348623157e308


@compiled(
    f"Tuple((int64, int64, int64, int64))({BYTES}, int64, int64, int64, int64, {SLOTS}, {BYTES}, "
    "int32[::1], float64[::1], float64[::1], int64, int32[::1], int64[::1], float64[::1])"
)
def _read_values(
    data: NDArray[np.uint8],
    begin: int,
    end: int,
    device: int,
    now_us: int,
    channels: NDArray[np.int64],
    channel_keys: NDArray[np.uint8],
    route_series: NDArray[np.int32],
    route_factor: NDArray[np.float64],
    route_offset: NDArray[np.float64],
    first: int,
    series: NDArray[np.int32],
    observed_at_us: NDArray[np.int64],
    value: NDArray[np.float64],
) -> tuple[int, int, int, int]:
    """Read ``{"channel": number, …, "observedAt": "…"}`` into rows from ``first`` on.

    Returns:
        (``EMPTY``, row behind the last, 0, 0) when all was taken; else why not, and where an unknown channel stands.
    """
    rows = first
    at_us = np.int64(NOT_A_TIME)
    at = after_blanks(data, begin, end)
    if at >= end or data[at] != 123:
        return GENERAL, 0, 0, 0
    at = after_blanks(data, at + 1, end)
    while True:
        close = after_text(data, at, end)
        if close < 0:
            return GENERAL, 0, 0, 0
        key, key_end = at + 1, close
        at = after_blanks(data, close + 1, end)
        if at >= end or data[at] != 58:
            return GENERAL, 0, 0, 0
        at = after_blanks(data, at + 1, end)
        if is_time_key(data, key, key_end):
            close = after_text(data, at, end)
            if close < 0 or at_us != NOT_A_TIME:
                return GENERAL, 0, 0, 0
            at_us = np.int64(parse_rfc3339(data, at + 1, close))
            if at_us == NOT_A_TIME:
                return GENERAL, 0, 0, 0
            at = close + 1
        else:
            after, number = parse_number(data, at, end)
            if after == NOT_MINE:
                return GENERAL, 0, 0, 0
            route = find_key(channels, channel_keys, data, key, key_end, device)
            if route == NOT_FOUND:
                return NEW_CHANNEL, 0, key, key_end
            factor, offset = route_factor[route], route_offset[route]
            if factor != 1.0 or offset != 0.0:
                number = number * factor + offset
                if not -_LARGEST <= number <= _LARGEST:
                    return GENERAL, 0, 0, 0
            if rows - first >= MOST_CHANNELS:
                return GENERAL, 0, 0, 0
            for earlier in range(first, rows):
                if series[earlier] == route_series[route]:
                    return GENERAL, 0, 0, 0
            series[rows] = route_series[route]
            value[rows] = number
            rows += 1
            at = after
        at = after_blanks(data, at, end)
        if at >= end:
            return GENERAL, 0, 0, 0
        if data[at] == 125:
            break
        if data[at] != 44:
            return GENERAL, 0, 0, 0
        at = after_blanks(data, at + 1, end)
    if rows == first or after_blanks(data, at + 1, end) != end:
        return GENERAL, 0, 0, 0
    if at_us == NOT_A_TIME:
        at_us = np.int64(now_us)
    for row in range(first, rows):
        observed_at_us[row] = at_us
    return EMPTY, rows, 0, 0


@compiled(
    f"Tuple((int64, int64))({BYTES}, {_OUT}, int64, int64, int64, {SLOTS}, {BYTES}, {SLOTS}, {BYTES}, "
    "int64[::1], int64[::1], int32[::1], float64[::1], float64[::1], "
    f"int32[::1], int64[::1], float64[::1], {_OUT}, uint8[::1])"
)
def read_pieces(
    data: NDArray[np.uint8],
    pieces: NDArray[np.int64],
    count: int,
    now_us: int,
    max_packet_bytes: int,
    topics: NDArray[np.int64],
    topic_keys: NDArray[np.uint8],
    channels: NDArray[np.int64],
    channel_keys: NDArray[np.uint8],
    gateway_of: NDArray[np.int64],
    seen_us: NDArray[np.int64],
    route_series: NDArray[np.int32],
    route_factor: NDArray[np.float64],
    route_offset: NDArray[np.float64],
    series: NDArray[np.int32],
    observed_at_us: NDArray[np.int64],
    value: NDArray[np.float64],
    messages: NDArray[np.int64],
    acks: NDArray[np.uint8],
) -> tuple[int, int]:
    """Read pieces, each the bytes of one connection from the beginning of a frame on.

    Args:
        pieces: int64[≥ count, 14], see ``PIECE_COLUMNS``.
        topics: topic → device's number; ``channels``: (device's number, key) → route.
        gateway_of: of each device the number of who may speak for it beside itself, or -1.
        seen_us: of each device, set to ``now_us`` where one has sent.
        messages: int64[m, 5], see ``MESSAGE_COLUMNS``. ``acks``: uint8[4·m], the PUBACKs of those of QoS 1.

    Returns:
        (rows, messages) written.

    Source: MQTT 3.1.1 §3.3, §3.4; MQTT 5.0 §3.3, §3.4
    """
    rows, taken, acked = 0, 0, 0
    for piece in range(count):
        at, end = pieces[piece, BEGIN], pieces[piece, END]
        sender, version, room = pieces[piece, SENDER], pieces[piece, VERSION], pieces[piece, ROOM]
        first_message = taken
        pieces[piece, ACKS_BEGIN] = acked
        why, after = EMPTY, at
        while True:
            if end - at < 2:
                break
            # How long the frame is. Source: MQTT 5.0 §1.5.5
            length, body = np.int64(0), at + 1
            shift = 0
            whole = False
            while body < end and shift < 28:
                digit = np.int64(data[body])
                length |= (digit & 0x7F) << shift
                shift += 7
                body += 1
                if digit < 0x80:
                    whole = True
                    break
            if not whole:
                if shift >= 28:
                    why = BROKEN
                break
            after = body + length
            if after - at > max_packet_bytes:
                why = BROKEN
                break
            if after > end:
                if after - at > LARGEST_FRAME:
                    why = LARGE
                break
            if taken == messages.shape[0] or rows + MOST_CHANNELS > series.shape[0]:
                why = FULL
                break
            # Which message it is: PUBLISH, not retained, QoS 0 or 1, perhaps a repeated one.
            first = data[at]
            why = GENERAL
            if first not in (0x30, 0x32, 0x3A) or length < 2:
                break
            topic = body + 2
            payload = topic + ((np.int64(data[body]) << 8) | np.int64(data[body + 1]))
            topic_end = payload
            packet_id = np.int64(0)
            if first != 0x30:
                if payload + 2 > after or (version == 5 and room <= 0):
                    break
                packet_id = (np.int64(data[payload]) << 8) | np.int64(data[payload + 1])
                payload += 2
                if packet_id == 0:
                    break
            if version == 5:
                if payload >= after or data[payload] != 0:
                    break
                payload += 1
            if payload > after:
                break
            device = find_key(topics, topic_keys, data, topic, topic_end, 0)
            if device == NOT_FOUND:
                why = NEW_TOPIC
                pieces[piece, DETAIL_BEGIN] = topic
                pieces[piece, DETAIL_END] = topic_end
                break
            if sender not in (device, gateway_of[device]):
                break
            why, behind, name, name_end = _read_values(
                data,
                payload,
                after,
                device,
                now_us,
                channels,
                channel_keys,
                route_series,
                route_factor,
                route_offset,
                rows,
                series,
                observed_at_us,
                value,
            )
            if why != EMPTY:
                pieces[piece, DETAIL_BEGIN] = name
                pieces[piece, DETAIL_END] = name_end
                pieces[piece, DEVICE] = device
                break
            messages[taken, PACKET_ID] = packet_id
            messages[taken, FIRST_ROW] = rows
            messages[taken, PAYLOAD_BEGIN] = payload
            messages[taken, PAYLOAD_END] = after
            messages[taken, MESSAGE_DEVICE] = device
            taken += 1
            rows = behind
            seen_us[device] = now_us
            if packet_id > 0:
                acks[acked] = 0x40
                acks[acked + 1] = 0x02
                acks[acked + 2] = packet_id >> 8
                acks[acked + 3] = packet_id & 0xFF
                acked += 4
            room -= 1
            at = after
        pieces[piece, STOP] = at
        pieces[piece, WHY] = why
        pieces[piece, NEXT] = after
        pieces[piece, MESSAGES] = taken - first_message
        pieces[piece, ACKS_END] = acked
    return rows, taken
