"""Messages of a service that are published in order, and never while its lock is held."""

from __future__ import annotations

import threading
from collections import deque

from gulou.connectivity.bus import Bus, Message


class Outbox:
    """Collects under the service's lock, publishes without it.

    A publisher may have to wait for a subscriber, and the subscriber may call back into the service: holding the
    service's lock meanwhile would lock up both. One thread publishes at a time, so that the order stays; a thread that
    finds another publishing leaves its messages to that one.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._messages: deque[Message] = deque()
        self._publishing = threading.Lock()

    def add(self, message: Message) -> None:
        """Queue; call with the service's lock held, so that the order is the order of the changes."""
        self._messages.append(message)

    def flush(self) -> None:
        """Publish what is queued; call without the service's lock."""
        while self._messages:
            if not self._publishing.acquire(blocking=False):
                return
            try:
                while self._messages:
                    self._bus.publish(self._messages.popleft())
            finally:
                self._publishing.release()
