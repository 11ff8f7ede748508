"""Identifiers of warning messages for the exchange with other systems."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from gulou.kernel import SECOND_US, from_us, to_us

_BEIJING_US = 8 * 3_600 * SECOND_US
_PER_SECOND = 10


class MessageIds:
    """Gives out ids ``ZZZZZZDDDUUUXX_YYYYMMDDhhmmss_N``: sender, Beijing time of entry, number 0 to 9 in that second.

    An eleventh message of one second takes the next second. Callers hold the record store's write lock.

    Args:
        sender_code: 14 characters: district, agency, inner unit, extension.

    Source: GB/T 35965.1-2018 message identifier
    """

    def __init__(self, sender_code: str) -> None:
        self._sender = sender_code
        self._second = -1
        self._next = 0

    def take(self, now_us: int, newest: Callable[[str], str | None]) -> str:
        """Return the next free id.

        Args:
            newest: returns the newest id of a sender that is stored; asked once, after a start.
        """
        if self._second < 0:
            self._go_on_after(newest(self._sender))
        second = now_us // SECOND_US
        if second > self._second:
            self._second, self._next = second, 0
        elif self._next >= _PER_SECOND:
            self._second, self._next = self._second + 1, 0
        stamp = f"{from_us(self._second * SECOND_US + _BEIJING_US):%Y%m%d%H%M%S}"
        number, self._next = self._next, self._next + 1
        return f"{self._sender}_{stamp}_{number}"

    def _go_on_after(self, newest: str | None) -> None:
        if newest is None:
            self._second = 0
            return
        _, stamp, number = newest.rsplit("_", 2)
        beijing = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        self._second, self._next = (to_us(beijing) - _BEIJING_US) // SECOND_US, int(number) + 1
