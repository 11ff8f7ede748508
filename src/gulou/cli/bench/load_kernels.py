"""The load generator's kernels: frames in, acknowledgements out, at a small part of what the server has to do.

Source: OASIS MQTT Version 3.1.1 §3.3, §3.4
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

PAYLOAD_BYTES = 62
"""``{"waterLevel":0.512,"observedAt":"2026-07-01T08:00:00.123456Z"}``, without the digits before the point."""
LONGEST_FRAME = 256

_BYTES = "Array(uint8, 1, 'C', True)"
_BEFORE = np.frombuffer(b'{"waterLevel":', np.uint8)
_BETWEEN = np.frombuffer(b',"observedAt":"', np.uint8)
_AFTER = np.frombuffer(b'Z"}', np.uint8)


@compiled(f"int64(uint8[::1], int64, {_BYTES}, int64, int64)")
def _put(out: NDArray[np.uint8], at: int, data: NDArray[np.uint8], begin: int, end: int) -> int:
    for source in range(begin, end):
        out[at] = data[source]
        at += 1
    return at


@compiled(
    f"Tuple((int64, int64))(uint8[::1], int64, int64, int64, int64[::1], int64[::1], int64[:, ::1], int64[::1], "
    f"{_BYTES}, int64[::1], int64[::1], int64[::1], int64, {_BYTES}, int64, int64)"
)
def build(
    out: NDArray[np.uint8],
    at: int,
    connection: int,
    count: int,
    next_id: NDArray[np.int64],
    unacked: NDArray[np.int64],
    sent_ns: NDArray[np.int64],
    next_topic: NDArray[np.int64],
    topics: NDArray[np.uint8],
    topic_at: NDArray[np.int64],
    first_topic: NDArray[np.int64],
    last_topic: NDArray[np.int64],
    now_ns: int,
    second: NDArray[np.uint8],
    micros: int,
    whole: int,
) -> tuple[int, int]:
    """Write PUBLISH frames of QoS 1, one reading each, the connection's topics in turn.

    Args:
        sent_ns: int64[connections, ids], when the message of an id was sent; 0 for ids that are free.
        topics: all topics, each behind its length; ``topic_at`` says where each begins, and where the last ends.
        first_topic, last_topic: which topics a connection has, the last one not included.
        second: ``2026-07-01T08:00:00.`` and ``micros`` within it, one more for each frame.
        whole: the digit before the point: which side of the limit a level is on.

    Returns:
        (where the frames end, how many there are): fewer when the ids or the room are used up.
    """
    ids = sent_ns.shape[1]
    made = 0
    while made < count and at + LONGEST_FRAME <= out.shape[0]:
        number = next_id[connection] % (ids - 1) + 1
        if sent_ns[connection, number] != 0:
            break
        next_id[connection] = number
        sent_ns[connection, number] = now_ns
        unacked[connection] += 1
        topic = next_topic[connection]
        next_topic[connection] = topic + 1 if topic + 1 < last_topic[connection] else first_topic[connection]
        length = topic_at[topic + 1] - topic_at[topic] + 2 + _BEFORE.shape[0] + 5 + _BETWEEN.shape[0] + 26 + 3
        out[at] = 0x32
        at += 1
        if length < 128:
            out[at] = length
            at += 1
        else:
            out[at] = (length & 0x7F) | 0x80
            out[at + 1] = length >> 7
            at += 2
        at = _put(out, at, topics, topic_at[topic], topic_at[topic + 1])
        out[at] = number >> 8
        out[at + 1] = number & 0xFF
        at = _put(out, at + 2, _BEFORE, 0, _BEFORE.shape[0])
        out[at] = 48 + whole
        out[at + 1] = 46
        out[at + 2] = 53
        out[at + 3] = 48 + number // 10 % 10
        out[at + 4] = 48 + number % 10
        at = _put(out, at + 5, _BETWEEN, 0, _BETWEEN.shape[0])
        at = _put(out, at, second, 0, 20)
        left = min(micros + made, 999_999)
        for place in range(5, -1, -1):
            out[at + place] = 48 + left % 10
            left //= 10
        at = _put(out, at + 6, _AFTER, 0, 3)
        made += 1
    return at, made


@compiled(f"Tuple((int64, int64))({_BYTES}, int64, int64, int64, int64[::1], int64[:, ::1], int64[::1])")
def take_acks(
    data: NDArray[np.uint8],
    at: int,
    connection: int,
    now_ns: int,
    unacked: NDArray[np.int64],
    sent_ns: NDArray[np.int64],
    micros: NDArray[np.int64],
) -> tuple[int, int]:
    """Take PUBACKs off the front, and count their times in ``micros``, a histogram of whole µs.

    Returns:
        (where something else begins, how many messages they were for).
    """
    taken = 0
    while at + 4 <= data.shape[0] and data[at] == 0x40 and data[at + 1] == 2:
        number = (np.int64(data[at + 2]) << 8) | np.int64(data[at + 3])
        if number < sent_ns.shape[1] and sent_ns[connection, number] != 0:
            micros[min((now_ns - sent_ns[connection, number]) // 1_000, micros.shape[0] - 1)] += 1
            sent_ns[connection, number] = 0
            unacked[connection] -= 1
            taken += 1
        at += 4
    return at, taken
