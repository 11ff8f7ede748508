"""Signs of life as arrays, one place a device: what changes at every message is no object."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.kernel.clock import SECOND_US

_FIRST = 1_024
NEVER, OFFLINE, ONLINE = -1, 0, 1


class Heads(msgspec.Struct, frozen=True):
    """What is known of every device from the start on, as columns.

    Args:
        gateways: empty for those that have a connection of their own.
        online: int8, ``NEVER``, ``OFFLINE`` or ``ONLINE``.
        last_seen_us: int64, µs since the Unix epoch; 0 before the first word.
        silence_s: int64, s.
    """

    ids: list[str]
    kinds: list[str]
    gateways: list[str]
    online: Any
    last_seen_us: Any
    silence_s: Any


class Signs:
    """Presence by a device's number. A number is given once and never to another device.

    Attributes:
        guard: held while presence turns and while the arrays grow.
        last_seen_us: int64[n], µs since the Unix epoch; 0 before the first word.
        online: int8[n], ``NEVER``, ``OFFLINE`` or ``ONLINE``.
        silence_us: int64[n]; a device is silent for so long before it counts as offline.
        heard: bool[n], whether it has said a word since that was last written down.
    """

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.count = 0
        self.last_seen_us: NDArray[np.int64] = np.zeros(_FIRST, np.int64)
        self.online: NDArray[np.int8] = np.full(_FIRST, NEVER, np.int8)
        self.silence_us: NDArray[np.int64] = np.zeros(_FIRST, np.int64)
        self.heard: NDArray[np.bool_] = np.zeros(_FIRST, np.bool_)

    def begin(self, online: NDArray[np.int8], last_seen_us: NDArray[np.int64], silence_s: NDArray[np.int64]) -> None:
        """Give the devices that are there at the start their numbers, from 0 on."""
        room = max(_FIRST - len(online), 0)
        self.count = len(online)
        self.online = np.concatenate([online, np.full(room, NEVER, np.int8)])
        self.last_seen_us = np.concatenate([last_seen_us, np.zeros(room, np.int64)])
        self.silence_us = np.concatenate([silence_s * SECOND_US, np.zeros(room, np.int64)])
        self.heard = np.zeros(len(self.online), np.bool_)

    def add(self, online: bool | None, last_seen_us: int) -> int:
        """Give a new device its number."""
        with self.guard:
            if self.count == len(self.online):
                self._grow()
            number = self.count
            self.count += 1
        self.last_seen_us[number] = last_seen_us
        self.online[number] = NEVER if online is None else int(online)
        return number

    def set_silence(self, number: int, silence_s: int) -> None:
        """Note after how long a silence it counts as offline."""
        self.silence_us[number] = silence_s * SECOND_US

    def is_online(self, number: int) -> bool | None:
        """Tell whether a device is there; None before its first word."""
        state = self.online[number]
        return None if state == NEVER else bool(state == ONLINE)

    def forget(self, number: int) -> None:
        """A device was removed."""
        with self.guard:
            self.online[number] = NEVER
            self.heard[number] = False

    def note(self, number: int, at_us: int) -> None:
        """Note one sign of life."""
        self.last_seen_us[number] = max(self.last_seen_us[number], at_us)
        self.heard[number] = True

    def note_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Note signs of life of devices, each named once; returns the numbers of those that were not online."""
        with self.guard:
            self.last_seen_us[numbers] = np.maximum(self.last_seen_us[numbers], at_us)
            self.heard[numbers] = True
            fresh: NDArray[np.int64] = numbers[self.online[numbers] != ONLINE]
            return fresh

    def silent(self, now_us: int) -> NDArray[np.intp]:
        """Return the numbers of devices that are online and have been silent for too long."""
        n = self.count
        over = self.last_seen_us[:n] + self.silence_us[:n] < now_us
        return np.nonzero(over & (self.online[:n] == ONLINE))[0]

    def take_heard(self) -> NDArray[np.intp]:
        """Return the numbers of those that have been heard since the last call."""
        with self.guard:
            numbers = np.nonzero(self.heard[: self.count])[0]
            self.heard[numbers] = False
        return numbers

    def _grow(self) -> None:
        more = self.count
        self.last_seen_us = np.concatenate([self.last_seen_us, np.zeros(more, np.int64)])
        self.online = np.concatenate([self.online, np.full(more, NEVER, np.int8)])
        self.silence_us = np.concatenate([self.silence_us, np.zeros(more, np.int64)])
        self.heard = np.concatenate([self.heard, np.zeros(more, np.bool_)])
