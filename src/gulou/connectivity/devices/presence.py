"""Who is there: connections, signs of life, silence. In memory; written down now and then."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.devices.events import DeviceConnected, DeviceDisconnected
from gulou.connectivity.devices.index import DeviceIndex
from gulou.connectivity.devices.settings import DeviceSettings
from gulou.connectivity.devices.signs import OFFLINE, ONLINE
from gulou.connectivity.devices.store_sql import update_presence
from gulou.connectivity.outbox import Outbox
from gulou.kernel.clock import SECOND_US, Clock
from gulou.records import Database

_CHUNK = 500
_SLICE = 400
"""Of those heard, written down at a tick: some ms, however many there are."""
_TURNED_SLICE = 4_000
"""Of those that turned on or off; people look at that."""
_TURNED_AT_ONCE = 500


class Presence:
    """Keeps online, offline and last seen. Safe from any thread; ``seen`` is cheap enough for every payload."""

    def __init__(
        self, index: DeviceIndex, database: Database, bus: Bus, clock: Clock, settings: DeviceSettings
    ) -> None:
        self._index = index
        self._database = database
        self._clock = clock
        self._settings = settings
        self._outbox = Outbox(bus)
        self._signs = index.signs
        self._guard = index.signs.guard
        self._turned: set[int] = set()
        self._connections: dict[int, int] = {}
        self._check_due_us = 0
        self._flush_due_us = 0
        self._heard: NDArray[np.intp] = np.zeros(0, np.intp)

    def seen(self, device_id: str, at_us: int) -> None:
        """Note a sign of life; the first after a silence makes the device online."""
        number = self._index.number_of(device_id)
        if number is None:
            return
        self._signs.note(number, at_us)
        if self._signs.online[number] != ONLINE:
            self._turn_on([number])

    def seen_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> None:
        """Note signs of life of many devices at once; only what turns online costs more than some ns."""
        fresh = self._signs.note_many(numbers, at_us).tolist()
        for begin in range(0, len(fresh), _TURNED_AT_ONCE):
            self._turn_on(fresh[begin : begin + _TURNED_AT_ONCE])

    def connected(self, device_id: str) -> None:
        """Note an opened connection; a device may have several for a moment while it reconnects."""
        number = self._index.number_of(device_id)
        if number is not None:
            with self._guard:
                self._connections[number] = self._connections.get(number, 0) + 1
            self.seen(device_id, self._clock.now_us())

    def disconnected(self, device_id: str, reason: str, will: str | None = None) -> None:
        """Note a closed connection; the device is offline with its last one."""
        number = self._index.number_of(device_id)
        if number is None:
            return
        with self._guard:
            left = self._connections.pop(number, 0) - 1
            if left > 0:
                self._connections[number] = left
                return
        self._turn_off(number, device_id, reason, will)

    def left_will(self, device_id: str, will: str) -> None:
        """Note what a device that went some time ago had wanted said, unless it is back."""
        number = self._index.number_of(device_id)
        if number is None or self._signs.online[number] == ONLINE:
            return
        now_us = self._clock.now_us()
        self._outbox.add(DeviceDisconnected(at_us=now_us, device_id=device_id, reason="will", will=will))
        self._outbox.flush()

    def forget(self, number: int) -> None:
        """The device of a number was removed."""
        with self._guard:
            self._turned.discard(number)
            self._connections.pop(number, None)

    def tick(self, now_us: int) -> None:
        """Look for the silent, and write down what changed."""
        if now_us >= self._check_due_us:
            self._check_due_us = now_us + int(self._settings.silence_check_s * SECOND_US)
            for number in self._signs.silent(now_us).tolist():
                device_id = self._index.id_of(number)
                if device_id is not None:
                    self._turn_off(number, device_id, "silence")
        if now_us >= self._flush_due_us and not len(self._heard):
            self._flush_due_us = now_us + int(self._settings.flush_s * SECOND_US)
            self._heard = self._signs.take_heard()
        slice_, self._heard = self._heard[:_SLICE], self._heard[_SLICE:]
        with self._guard:
            turned = list(islice(self._turned, _TURNED_SLICE))
            self._turned.difference_update(turned)
        self._write({*slice_.tolist(), *turned})

    def flush(self) -> None:
        """Write all presence down."""
        heard, self._heard = self._heard, self._heard[:0]
        with self._guard:
            turned, self._turned = self._turned, set()
        self._write({*heard.tolist(), *self._signs.take_heard().tolist(), *turned})

    def _write(self, changed: set[int]) -> None:
        """Write down whether and when they were there, in small transactions that let others in between."""
        named = {device_id: number for number in changed if (device_id := self._index.id_of(number)) is not None}
        waiting = sorted(named)
        for begin in range(0, len(waiting), _CHUNK):
            ids = waiting[begin : begin + _CHUNK]
            numbers = np.array([named[device_id] for device_id in ids], np.int64)
            states, seen = self._signs.online[numbers].tolist(), self._signs.last_seen_us[numbers].tolist()
            rows = list(zip(ids, states, seen, strict=True))
            with self._database.transaction() as connection:
                update_presence(connection, rows)

    def _turn_on(self, numbers: list[int]) -> None:
        now_us = self._clock.now_us()
        with self._guard:
            for number in numbers:
                device_id = self._index.id_of(number)
                if device_id is not None and self._signs.online[number] != ONLINE:
                    self._signs.online[number] = ONLINE
                    self._note_turn(number, DeviceConnected(at_us=now_us, device_id=device_id))
        self._outbox.flush()

    def _turn_off(self, number: int, device_id: str, reason: str, will: str | None = None) -> None:
        with self._guard:
            if self._signs.online[number] != ONLINE:
                return
            self._signs.online[number] = OFFLINE
            gone = DeviceDisconnected(at_us=self._clock.now_us(), device_id=device_id, reason=reason, will=will)
            self._note_turn(number, gone)
        self._outbox.flush()

    def _note_turn(self, number: int, message: Message) -> None:
        self._turned.add(number)
        self._outbox.add(message)
