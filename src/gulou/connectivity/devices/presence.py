"""Who is there: connections, signs of life, silence. In memory; written down now and then."""

from __future__ import annotations

import threading

from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.devices.events import DeviceConnected, DeviceDisconnected
from gulou.connectivity.devices.index import DeviceIndex, KnownDevice
from gulou.connectivity.devices.settings import DeviceSettings
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
        self._guard = threading.Lock()
        self._online: dict[str, KnownDevice] = {}
        self._turned: set[str] = set()
        self._heard: set[str] = set()
        self._check_due_us = 0
        self._flush_due_us = 0

    def start(self) -> None:
        """Take over who was online when the registry was last closed; they have until their silence is over."""
        for known in self._index.all():
            if known.online:
                self._online[known.device.id] = known

    def seen(self, device_id: str, at_us: int) -> None:
        """Note a sign of life; the first after a silence makes the device online."""
        known = self._index.get(device_id)
        if known is None:
            return
        known.last_seen_us = max(known.last_seen_us, at_us)
        self._heard.add(device_id)
        if not known.online:
            self._turn_on(known)

    def connected(self, device_id: str) -> None:
        """Note an opened connection; a device may have several for a moment while it reconnects."""
        known = self._index.get(device_id)
        if known is not None:
            with self._guard:
                known.connections += 1
            self.seen(device_id, self._clock.now_us())

    def disconnected(self, device_id: str, reason: str) -> None:
        """Note a closed connection; the device is offline with its last one."""
        known = self._index.get(device_id)
        if known is None:
            return
        with self._guard:
            known.connections = max(known.connections - 1, 0)
            if known.connections:
                return
        self._turn_off(known, reason)

    def forget(self, device_id: str) -> None:
        """A device was removed."""
        with self._guard:
            self._online.pop(device_id, None)
            self._turned.discard(device_id)
            self._heard.discard(device_id)

    def tick(self, now_us: int) -> None:
        """Look for the silent, and write down what changed."""
        if now_us >= self._check_due_us:
            self._check_due_us = now_us + int(self._settings.silence_check_s * SECOND_US)
            for known in list(self._online.values()):
                if known.last_seen_us + known.device.silence_s * SECOND_US < now_us:
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
                heard, self._heard = self._heard, set()
                changed |= heard
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
            known.online = True
            self._online[device_id] = known
            self._note_turn(device_id, DeviceConnected(at_us=self._clock.now_us(), device_id=device_id))
        self._outbox.flush()

    def _turn_off(self, known: KnownDevice, reason: str) -> None:
        device_id = known.device.id
        with self._guard:
            self._online.pop(device_id, None)
            if not known.online:
                return
            known.online = False
            gone = DeviceDisconnected(at_us=self._clock.now_us(), device_id=device_id, reason=reason)
            self._note_turn(device_id, gone)
        self._outbox.flush()

    def _note_turn(self, device_id: str, message: Message) -> None:
        self._turned.add(device_id)
        self._outbox.add(message)
