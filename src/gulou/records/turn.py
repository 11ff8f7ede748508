"""Whose turn it is to write: one at a time, in the order of asking, the urgent first."""

from __future__ import annotations

import threading
from collections import deque


class Turn:
    """A lock that is handed over.

    An ordinary lock is soonest had by who has just given it back: one busy thread would keep all others waiting.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._urgent: deque[threading.Lock] = deque()
        self._others: deque[threading.Lock] = deque()

    def acquire(self, timeout_s: float, *, urgent: bool = False) -> bool:
        """Wait for the turn; False when it did not come in time."""
        queue = self._urgent if urgent else self._others
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            queue.append(mine)
        if mine.acquire(timeout=timeout_s):
            return True
        with self._guard:
            if mine in queue:
                queue.remove(mine)
                return False
        return True  # it was handed over at the last moment

    def release(self) -> None:
        """Hand over to the next."""
        with self._guard:
            queue = self._urgent or self._others
            if queue:
                queue.popleft().release()
            else:
                self._taken = False
