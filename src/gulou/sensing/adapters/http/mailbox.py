"""Commands for devices that ask by HTTP: handed over while a device waits for them."""

from __future__ import annotations

import asyncio
import threading

from gulou.connectivity.commands.model import Command
from gulou.kernel.errors import Unavailable

_MOST_AT_ONCE = 100


class Waiter:
    """One request that waits for a device's commands.

    Args:
        speaker_id: whose secret it came with: the device's own, or its gateway's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, speaker_id: str) -> None:
        self._loop = loop
        self.speaker_id = speaker_id
        self.refused = False
        self._arrived = asyncio.Event()
        self.commands: list[Command] = []
        self._closed = False
        self._lock = threading.Lock()

    def put(self, command: Command) -> bool:
        """Take a command; False when the request is over, or has enough. Any thread."""
        with self._lock:
            if self._closed or len(self.commands) >= _MOST_AT_ONCE:
                return False
            self.commands.append(command)
        self._loop.call_soon_threadsafe(self._arrived.set)
        return True

    def refuse(self) -> None:
        """End the wait with a refusal, whatever has come. Any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = self.refused = True
        self._loop.call_soon_threadsafe(self._arrived.set)

    async def wait(self) -> None:
        """Return when there is a command, or a refusal."""
        await self._arrived.wait()

    def close(self) -> list[Command]:
        """Take no more; return what has come."""
        with self._lock:
            self._closed = True
            return self.commands


class Mailbox:
    """The waiting requests, by device."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiters: dict[str, Waiter] = {}
        self._lock = threading.Lock()

    def open(self, device_id: str, waiter: Waiter) -> None:
        """Let a request wait; an older one of the same device is answered with what it has.

        Raises:
            Unavailable: ``http.too_many_waiting``.
        """
        with self._lock:
            if len(self._waiters) >= self._most and device_id not in self._waiters:
                raise Unavailable("http.too_many_waiting", limit=self._most)
            self._waiters[device_id] = waiter

    def close(self, device_id: str, waiter: Waiter) -> None:
        """End a request's wait."""
        with self._lock:
            if self._waiters.get(device_id) is waiter:
                del self._waiters[device_id]

    def refuse(self, speaker_id: str) -> None:
        """Refuse the waiting requests that came with a device's secret. Any thread."""
        with self._lock:
            refused = [waiter for waiter in self._waiters.values() if waiter.speaker_id == speaker_id]
        for waiter in refused:
            waiter.refuse()

    def put(self, command: Command) -> bool:
        """Hand a command to a waiting device; False when it does not wait. Any thread."""
        with self._lock:
            waiter = self._waiters.get(command.device_id)
        return waiter is not None and waiter.put(command)
