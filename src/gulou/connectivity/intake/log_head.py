"""How a writer tells readers in other processes what is durable: a small file in the log's directory, mapped by both.

Format in README.md. The checksum makes a half-written state recognisable, whatever the order of the stores.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_64_intdigest

HEAD_FILE = "head"
_MAGIC = b"GULOUHED"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQQQQ")  # magic, version, zero, writer, last sequence, segment, end offset
_SIZE = _FIELDS.size + 8
_TRIES = 50
_PAUSE_S = 0.000_05


@dataclass(frozen=True, slots=True)
class DurableEnd:
    """Up to where the log may be read.

    Args:
        writer: random for each opening of the log.
        last_sequence: of the last record that is synced.
        segment: first sequence of the segment that is being written.
        end: offset in it behind the last synced frame, bytes.
    """

    writer: int
    last_sequence: int
    segment: int
    end: int


class HeadWriter:
    """The writer's side; ``tell`` costs about a microsecond and no system call."""

    def __init__(self, directory: Path, writer: int) -> None:
        self._writer = writer
        descriptor = os.open(directory / HEAD_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            missing = mmap.PAGESIZE - os.fstat(descriptor).st_size
            if missing > 0:  # real zeros: storing into a hole of a full disk would end the process
                os.pwrite(descriptor, bytes(missing), mmap.PAGESIZE - missing)
            self._map = mmap.mmap(descriptor, mmap.PAGESIZE)
        finally:
            os.close(descriptor)

    def tell(self, last_sequence: int, segment: int, end: int) -> None:
        """Say what is durable now; call it only after the sync."""
        fields = _FIELDS.pack(_MAGIC, _VERSION, 0, self._writer, last_sequence, segment, end)
        self._map[:_SIZE] = fields + xxh3_64_intdigest(fields).to_bytes(8, "little")

    def close(self) -> None:
        self._map.close()


class HeadReader:
    """The readers' side. A directory without a writer yet has no durable end."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / HEAD_FILE
        self._map: mmap.mmap | None = None
        self._known: DurableEnd | None = None
        self._raw = b""

    def look(self) -> DurableEnd | None:
        """Return the durable end; None where none was ever told.

        A writer killed in the middle of telling leaves a broken state until it starts again: the last good one counts.
        """
        if self._map is None and not self._open():
            return None
        assert self._map is not None  # _open made it
        for attempt in range(_TRIES):
            data = self._map[:_SIZE]
            if data == self._raw:
                return self._known
            fields = data[: _FIELDS.size]
            if xxh3_64_intdigest(fields).to_bytes(8, "little") == data[_FIELDS.size :]:
                magic, version, _, writer, last, segment, end = _FIELDS.unpack(fields)
                if magic == _MAGIC and version == _VERSION:
                    self._raw, self._known = data, DurableEnd(writer, last, segment, end)
                return self._known
            if attempt:
                time.sleep(_PAUSE_S)
        return self._known

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None

    def _open(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                return False
            self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        return True
