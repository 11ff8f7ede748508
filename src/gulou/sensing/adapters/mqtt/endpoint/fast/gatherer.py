"""Reads what came on all connections in one turn of the loop by one call of the kernel."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns
from gulou.kernel.clock import Clock
from gulou.sensing.adapters.mqtt.endpoint.fast.carrier import Carrier
from gulou.sensing.adapters.mqtt.endpoint.fast.kernel import (
    ACKS_BEGIN,
    ACKS_END,
    BROKEN,
    DETAIL_BEGIN,
    DETAIL_END,
    DEVICE,
    EMPTY,
    FULL,
    LARGE,
    MESSAGE_COLUMNS,
    MESSAGES,
    NEW_CHANNEL,
    NEW_TOPIC,
    NEXT,
    PIECE_COLUMNS,
    STOP,
    WHY,
    read_pieces,
)
from gulou.sensing.adapters.mqtt.endpoint.fast.lane import Lane
from gulou.sensing.adapters.mqtt.endpoint.fast.part import Entry, Part
from gulou.sensing.adapters.mqtt.endpoint.fast.routes import Routes

_MOST_ROWS = 16_384
_FIRST_PIECES = 256
_MOST_KEPT = 262_144
_LONGEST_TURN_S = 0.005
_Piece = tuple[Lane, int, int]
"""A connection, and from where to where its bytes go."""


class Gatherer:
    """Lives on the endpoint's loop.

    A connection's bytes wait for the end of the loop's turn, with those of all others, and while the log has enough to
    do, for that: the more that come together, the less each costs. Not more than ``_MOST_KEPT`` bytes wait so; beyond
    that they are read, so that those who send too much are told to pause.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, routes: Routes, carrier: Carrier, clock: Clock, max_packet_bytes: int
    ) -> None:
        self._loop = loop
        self._routes = routes
        self._carrier = carrier
        self._clock = clock
        self._max_packet_bytes = max_packet_bytes
        self._kept_bytes = 0
        self._is_called = False
        carrier.made_room = self.turn
        self._lanes: list[Lane] = []
        self._pieces: NDArray[np.int64] = np.zeros((_FIRST_PIECES, PIECE_COLUMNS), np.int64)
        self._series = np.empty(_MOST_ROWS, np.int32)
        self._observed_at_us = np.empty(_MOST_ROWS, np.int64)
        self._value = np.empty(_MOST_ROWS, np.float64)
        self._messages = np.empty((_MOST_ROWS, MESSAGE_COLUMNS), np.int64)
        self._acks = np.empty(4 * _MOST_ROWS, np.uint8)

    def receive(self, lane: Lane, data: bytes) -> None:
        """Take bytes of a connection; they are read when the loop's turn ends."""
        if lane.large is not None:
            data = _complete(lane, data)
            if not data:
                return
        self._kept_bytes += len(data)
        if not self._is_called and (self._kept_bytes > _MOST_KEPT or not self._carrier.is_full):
            self._is_called = True
            self._loop.call_soon(self.turn)
        if lane.incoming:
            lane.incoming += data
            return
        self._lanes.append(lane)
        lane.incoming = lane.rest + data if lane.rest else data
        lane.rest = b""

    def turn(self) -> None:
        """Read what has come, and send rows on their way."""
        lanes, self._lanes = self._lanes, []
        self._is_called, self._kept_bytes = False, 0
        if not lanes:
            return
        self._routes.refresh()
        now_us, came_at_s = self._clock.now_us(), self._loop.time()
        data = b"".join([lane.incoming for lane in lanes]) if len(lanes) > 1 else lanes[0].incoming
        work: list[_Piece] = []
        begin = 0
        for lane in lanes:
            end = begin + len(lane.incoming)
            lane.incoming = b""
            if lane.line.is_open():
                work.append((lane, begin, end))
            begin = end
        array = np.frombuffer(data, np.uint8)
        while work:
            free = [piece for piece in work if piece[0].is_free]
            again = self._read(data, array, free, now_us, came_at_s, free=True) if free else []
            if len(free) < len(work):
                for piece in [piece for piece in work if not piece[0].is_free and piece not in free]:
                    again += self._read(data, array, [piece], now_us, came_at_s, free=False)
            work = again
            if work and self._loop.time() - came_at_s > _LONGEST_TURN_S:
                self._put_off(data, work)
                break
        self._carrier.flush()

    def _put_off(self, data: bytes, work: list[_Piece]) -> None:
        """Let others have a turn before the rest is read: very many new channels take a while to learn."""
        for lane, begin, end in work:
            lane.incoming = data[begin:end]
            self._kept_bytes += end - begin
            self._lanes.append(lane)
        if not self._is_called:
            self._is_called = True
            self._loop.call_soon(self.turn)

    def carry(self, part: Part) -> None:
        """Give the intake rows that had to wait."""
        self._carrier.put(part)

    def flush(self) -> None:
        """Send what waits, unless something is under way."""
        self._carrier.flush()

    def _read(
        self,
        data: bytes,
        array: NDArray[np.uint8],
        work: list[_Piece],
        now_us: int,
        came_at_s: float,
        *,
        free: bool,
    ) -> list[_Piece]:
        """Call the kernel once; returns what is left to read."""
        routes = self._routes
        number_of = routes.number_of
        flat: list[int] = []
        for lane, begin, end in work:
            line = lane.line
            flat += (begin, end, number_of(lane.device_id), line.version, line.room())
        count = len(work)
        if count > len(self._pieces):
            self._pieces = np.zeros((2 * count, PIECE_COLUMNS), np.int64)
        pieces = self._pieces
        pieces[:count, :5] = np.array(flat, np.int64).reshape(count, 5)
        rows, taken = read_pieces(
            array,
            pieces,
            count,
            now_us,
            self._max_packet_bytes,
            routes.topics.slots,
            routes.topics.keys,
            routes.channels.slots,
            routes.channels.keys,
            routes.gateway_of,
            routes.seen_us,
            routes.series,
            routes.factor,
            routes.offset,
            self._series,
            self._observed_at_us,
            self._value,
            self._messages,
            self._acks,
        )
        results = pieces[:count].tolist()
        acks = self._acks[: results[-1][ACKS_END]].tobytes()
        entries: list[Entry] = []
        odd: list[tuple[_Piece, list[int]]] = []
        first = 0
        for piece, result in zip(work, results, strict=True):
            lane = piece[0]
            messages = result[MESSAGES]
            if messages:
                size = result[STOP] - piece[1]
                own = acks[result[ACKS_BEGIN] : result[ACKS_END]]
                entries.append(Entry(lane, first, messages, own, lane.generals, size))
                first += messages
                lane.count(messages, size)
            if result[WHY] == EMPTY:
                if result[STOP] < piece[2]:
                    lane.rest = data[result[STOP] : piece[2]]
                lane.line.taken(messages)
            else:
                odd.append((piece, result))
        if taken:
            columns = Columns(self._series[:rows].copy(), self._observed_at_us[:rows].copy(), self._value[:rows].copy())
            part = Part(data, columns, self._messages[:taken].copy(), entries, routes.ids, came_at_s)
            if free:
                self._carrier.put(part)
            else:
                work[0][0].hold_back(part)
        return [left for piece, result in odd for left in self._see_to(data, piece, result)]

    def _see_to(self, data: bytes, piece: _Piece, result: list[int]) -> list[_Piece]:
        """Do what the kernel has left at the place where it stopped; returns what is left behind it."""
        lane, _, end = piece
        line, why, stop, after = lane.line, result[WHY], result[STOP], result[NEXT]
        detail = data[result[DETAIL_BEGIN] : result[DETAIL_END]]
        learned = (why == NEW_TOPIC and self._routes.learn_topic(detail)) or (
            why == NEW_CHANNEL and self._routes.learn_channel(result[DEVICE], detail)
        )
        line.taken(result[MESSAGES])
        if not line.is_open():
            return []
        if learned:
            self._routes.learn_ahead(data, stop, end, line.version)
        if why == FULL or learned:
            return [(lane, stop, end)]
        if why == LARGE:
            lane.large, lane.large_needs = bytearray(data[stop:end]), after - stop
            return []
        if why == BROKEN:
            line.take_frames(data[stop:end])
            return []
        line.take_frames(data[stop:after])
        line.taken(1)
        return [(lane, after, end)] if after < end and line.is_open() else []


def _complete(lane: Lane, data: bytes) -> bytes:
    """Go on with a large frame; returns what came behind its end."""
    large = lane.large
    if large is None:
        return data
    large += data
    if len(large) < lane.large_needs:
        return b""
    frame, rest = bytes(large[: lane.large_needs]), bytes(large[lane.large_needs :])
    lane.large = None
    lane.line.take_frames(frame)
    lane.line.taken(1)
    return rest if lane.line.is_open() else b""
