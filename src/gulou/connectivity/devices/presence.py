"""Who is there: connections, signs of life, silence. In memory; written down now and then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.devices.events import DeviceConnected, DeviceDisconnected
from gulou.connectivity.devices.index import DeviceIndex, KnownDevice
from gulou.connectivity.devices.settings import DeviceSettings
from gulou.connectivity.devices.signs import OFFLINE, ONLINE
from gulou.connectivity.devices.store_sql import update_presence
from gulou.connectivity.outbox import Outbox
from gulou.kernel.clock import SECOND_US, Clock
from gulou.records import Database

_CHUNK = 2_000


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
        self._turned: set[str] = set()
        self._check_due_us = 0
        self._flush_due_us = 0

    def seen(self, device_id: str, at_us: int) -> None:
        """Note a sign of life; the first after a silence makes the device online."""
        known = self._index.get(device_id)
        if known is None:
            return
        self._signs.note(known.number, at_us)
        if not known.online:
            self._turn_on(known)

    def seen_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> None:
        """Note signs of life of many devices at once; only what turns online costs more than some ns."""
        for number in self._signs.note_many(numbers, at_us).tolist():
            known = self._index.by_number(number)
            if known is not None:
                self._turn_on(known)

    def connected(self, device_id: str) -> None:
        """Note an opened connection; a device may have several for a moment while it reconnects."""
        known = self._index.get(device_id)
        if known is not None:
            with self._guard:
                known.connections += 1
            self.seen(device_id, self._clock.now_us())

    def disconnected(self, device_id: str, reason: str, will: str | None = None) -> None:
        """Note a closed connection; the device is offline with its last one."""
        known = self._index.get(device_id)
        if known is None:
            return
        with self._guard:
            known.connections = max(known.connections - 1, 0)
            if known.connections:
                return
        self._turn_off(known, reason, will)

    def left_will(self, device_id: str, will: str) -> None:
        """Note what a device that went some time ago had wanted said, unless it is back."""
        known = self._index.get(device_id)
        if known is None or known.online:
            return
        now_us = self._clock.now_us()
        self._outbox.add(DeviceDisconnected(at_us=now_us, device_id=device_id, reason="will", will=will))
        self._outbox.flush()

    def forget(self, device_id: str) -> None:
        """A device was removed."""
        with self._guard:
            self._turned.discard(device_id)

    def tick(self, now_us: int) -> None:
        """Look for the silent, and write down what changed."""
        if now_us >= self._check_due_us:
            self._check_due_us = now_us + int(self._settings.silence_check_s * SECOND_US)
            for number in self._signs.silent(now_us).tolist():
                known = self._index.by_number(number)
                if known is not None:
                    self._turn_off(known, "silence")
        flush_all = now_us >= self._flush_due_us
        if flush_all:
            self._flush_due_us = now_us + int(self._settings.flush_s * SECOND_US)
        self.flush(everything=flush_all)

    def flush(self, *, everything: bool = True) -> None:
        """Write presence down, in small transactions that let others in between."""
        with self._guard:
            changed, self._turned = self._turned, set()
        if everything:
            heard = map(self._index.by_number, self._signs.take_heard().tolist())
            changed |= {known.device.id for known in heard if known is not None}
        waiting = sorted(changed)
        for begin in range(0, len(waiting), _CHUNK):
            rows = [
                (device_id, known.online, known.last_seen_us)
                for device_id in waiting[begin : begin + _CHUNK]
                if (known := self._index.get(device_id)) is not None
            ]
            with self._database.transaction() as connection:
                update_presence(connection, rows)

    def _turn_on(self, known: KnownDevice) -> None:
        device_id = known.device.id
        with self._guard:
            if known.online:
                return
            self._signs.online[known.number] = ONLINE
            self._note_turn(device_id, DeviceConnected(at_us=self._clock.now_us(), device_id=device_id))
        self._outbox.flush()

    def _turn_off(self, known: KnownDevice, reason: str, will: str | None = None) -> None:
        device_id = known.device.id
        with self._guard:
            if not known.online:
                return
            self._signs.online[known.number] = OFFLINE
            gone = DeviceDisconnected(at_us=self._clock.now_us(), device_id=device_id, reason=reason, will=will)
            self._note_turn(device_id, gone)
        self._outbox.flush()

    def _note_turn(self, device_id: str, message: Message) -> None:
        self._turned.add(device_id)
        self._outbox.add(message)
