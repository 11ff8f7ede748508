"""What is not known yet of the frames that are to be read: found by one call, so that it is learned all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.adapters.mqtt.endpoint.fast.payload import after_blanks, after_text, is_time_key
from gulou.sensing.sdk.columns import BYTES, NOT_FOUND, NOT_MINE, SLOTS, find_key, parse_number

TOPIC_BEGIN, TOPIC_END, KEY_BEGIN, KEY_END, OWNER = range(5)
FOUND_COLUMNS = 5
"""Of a channel that is not known: where its device's topic and its own name stand; the device's number, or -1 where
the topic is not known either."""


@compiled(f"int64({BYTES}, int64, int64, int64, {SLOTS}, {BYTES}, {SLOTS}, {BYTES}, int64[:, ::1])")
def find_unknown(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    version: int,
    topics: NDArray[np.int64],
    topic_keys: NDArray[np.uint8],
    channels: NDArray[np.int64],
    channel_keys: NDArray[np.uint8],
    found: NDArray[np.int64],
) -> int:
    """Find the channels with plain numbers that frames speak of and that are not known.

    It is only a hint: what it passes over, the reading kernel stops at.

    Args:
        at: where a frame begins.
        version: the protocol's, 4 or 5.
        found: int64[n, 5], see ``FOUND_COLUMNS``; when it is full, the rest is passed over.

    Returns:
        Rows written.

    Source: MQTT 3.1.1 §3.3; MQTT 5.0 §3.3
    """
    rows = 0
    while end - at >= 2 and rows < found.shape[0]:
        length, body = 0, at + 1
        shift = 0
        whole = False
        while body < end and shift < 28:
            digit = int(np.int64(data[body]))
            length |= (digit & 0x7F) << shift
            shift += 7
            body += 1
            if digit < 0x80:
                whole = True
                break
        after = body + length
        if not whole or after > end:
            break
        first = data[at]
        at = after
        if first not in (0x30, 0x32, 0x3A) or length < 2:
            continue
        topic = body + 2
        topic_end = topic + int((np.int64(data[body]) << 8) | np.int64(data[body + 1]))
        payload = topic_end + (0 if first == 0x30 else 2)
        if version == 5:
            if payload >= after or data[payload] != 0:
                continue
            payload += 1
        if payload >= after:
            continue
        owner = find_key(topics, topic_keys, data, topic, topic_end, 0)
        place = after_blanks(data, payload, after)
        if data[place if place < after else payload] != 123:
            continue
        place += 1
        while rows < found.shape[0]:
            key = after_blanks(data, place, after)
            key_end = after_text(data, key, after)
            if key_end < 0:
                break
            key += 1
            place = after_blanks(data, key_end + 1, after)
            if place >= after or data[place] != 58:
                break
            place = after_blanks(data, place + 1, after)
            if is_time_key(data, key, key_end):
                place = after_text(data, place, after) + 1
                if place == 0:
                    break
            else:
                place, _ = parse_number(data, place, after)
                if place == NOT_MINE:
                    break
                if owner == NOT_FOUND or find_key(channels, channel_keys, data, key, key_end, owner) == NOT_FOUND:
                    found[rows, TOPIC_BEGIN] = topic
                    found[rows, TOPIC_END] = topic_end
                    found[rows, KEY_BEGIN] = key
                    found[rows, KEY_END] = key_end
                    found[rows, OWNER] = owner
                    rows += 1
            place = after_blanks(data, place, after)
            if place >= after or data[place] != 44:
                break
            place += 1
    return rows
