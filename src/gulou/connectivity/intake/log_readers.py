"""Where readers in other processes say how far they have come, so that the writer keeps what they still need."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_64_intdigest

from gulou.kernel.errors import Invalid

READERS_FOLDER = "readers"
_MAGIC = b"GULOUPOS"
_FIELDS = struct.Struct("<8sQQ")  # magic, sequence, time of writing in µs
_SIZE = _FIELDS.size + 8
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ReaderPosition:
    """One reader's word.

    Args:
        sequence: everything up to it is durable in the reader's own stores; 0 when its file cannot be read.
        told_at_us: when it said so, µs since the Unix epoch, UTC, by the machine's clock.
    """

    name: str
    sequence: int
    told_at_us: int


class ReaderFile:
    """One reader's own file, written in place: 32 bytes in one sector, so that it is the old word or the new one.

    It is not synced. A crash of the machine can bring back an older word, which only keeps more of the log.

    Raises:
        Invalid: ``log.reader_name``: not a name for a file.
    """

    def __init__(self, directory: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise Invalid("log.reader_name", name=name)
        folder = directory / READERS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def tell(self, sequence: int, now_us: int) -> None:
        fields = _FIELDS.pack(_MAGIC, sequence, now_us)
        os.pwrite(self._descriptor, fields + xxh3_64_intdigest(fields).to_bytes(8, "little"), 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def reader_positions(directory: Path) -> list[ReaderPosition]:
    """Return the word of every reader that has a file, by name."""
    folder = directory / READERS_FOLDER
    try:
        paths = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []
    return [_read(path) for path in paths]


def _read(path: Path) -> ReaderPosition:
    data = path.read_bytes()[:_SIZE]
    fields = data[: _FIELDS.size]
    if len(data) < _SIZE or xxh3_64_intdigest(fields).to_bytes(8, "little") != data[_FIELDS.size :]:
        return ReaderPosition(path.name, 0, int(path.stat().st_mtime * 1_000_000))
    _, sequence, told_at_us = _FIELDS.unpack(fields)
    return ReaderPosition(path.name, sequence, told_at_us)
