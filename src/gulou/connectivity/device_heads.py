"""What an engine must know of all devices before it serves one, read while the rest of it is still being imported.

Of a million devices it takes SQLite a second and more, on a thread that needs nothing of the interpreter meanwhile. So
this module stands outside its package and imports next to nothing.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

# A million rows take Python a second and more; SQLite makes one text of each column meanwhile. None of the texts
# holds a line break, and all columns are joined in one pass, so that they are in one order: that of the registration.
HEADS = """
SELECT group_concat(id, char(10)), group_concat(kind, char(10)), group_concat(coalesce(gateway_id, ''), char(10)),
    group_concat(presence, ' '), group_concat(last_seen_at_us, ' '), group_concat(silence_s, ' ')
FROM devices NOT INDEXED
"""
_REVISION = "SELECT version_num FROM alembic_version"
Joined = tuple[str | None, ...]


class HeadsAhead:
    """Reads the heads of the devices in a record store, from now on, on a thread of its own.

    Args:
        records: the SQLite file; it need not be there, nor sound, nor of this version: then there is nothing to take.
    """

    def __init__(self, records: Path) -> None:
        once = ThreadPoolExecutor(1, thread_name_prefix="devices-heads")
        self._read: Future[tuple[str, Joined]] | None = once.submit(_read, records)
        once.shutdown(wait=False)

    def take(self, revision: str) -> Joined | None:
        """Return what ``HEADS`` gives, once it is there; None where it could not be read from that revision's tables.

        It is given away: a second time there is nothing. Nobody may have written a device since this began.
        """
        read, self._read = self._read, None  # of a million devices it is a hundred megabytes
        if read is None:
            return None
        try:
            found, joined = read.result()
        except sqlite3.Error:
            return None
        return joined if found == revision else None


def _read(records: Path) -> tuple[str, Joined]:
    connection = sqlite3.connect(f"file:{records}?mode=ro", uri=True)
    try:
        connection.execute("BEGIN")  # both from one state
        found = connection.execute(_REVISION).fetchone()
        return found[0] if found else "", connection.execute(HEADS).fetchone()
    finally:
        connection.close()
