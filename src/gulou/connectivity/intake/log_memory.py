"""A log that lives as long as the process; for stories and tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator


class MemoryLog:
    """A ``ReadingLog`` in a list; ``close`` keeps it, so that a story can stop a service and start another on it.

    Args:
        keep_records: kept although every consumer has them, as the segment log keeps whole files.
    """

    def __init__(self, keep_records: int = 1_000) -> None:
        self._keep = keep_records
        self._guard = threading.Lock()
        self._records: list[bytes] = []
        self._forgotten = 0

    def append(self, records: list[bytes]) -> int:
        with self._guard:
            self._records.extend(records)
            return self._forgotten + len(self._records)

    def read_from(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        with self._guard:
            first = self._forgotten + 1
            records = list(self._records)
        for number, record in enumerate(records, first):
            if number >= sequence:
                yield number, record

    def first_sequence(self) -> int:
        with self._guard:
            return self._forgotten + 1

    def last_sequence(self) -> int:
        with self._guard:
            return self._forgotten + len(self._records)

    def forget_before(self, sequence: int) -> None:
        with self._guard:
            count = min(sequence - 1 - self._forgotten, len(self._records) - self._keep)
            if count > 0:
                del self._records[:count]
                self._forgotten += count

    def mend(self) -> None:
        """Do nothing."""

    def prepare(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing; the records stay."""
