"""The catalogue of series: which number stands for which property of which entity, for ever."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from gulou.kernel.errors import Fault

_MAGIC = b"GULOUSER"
_HEADER = 16


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One property of one entity (its default instance), as a device or a program reports it in numbers.

    Args:
        number: 0, 1, 2 …; an index into the arrays of whoever keeps state by series.
        device_id: which device reports it. Readings of the same series from another device go as objects.
    """

    number: int
    entity_id: str
    entity_type: str
    property: str
    device_id: str | None = None


class SeriesCatalogue:
    """Numbers series, in the order in which they first appear; a number never changes its meaning.

    Any thread may ask; ``number_of`` may be called from any thread too. ``sync`` makes new numbers durable; the intake
    calls it before a record that uses them is written, so that whoever reads the log can always resolve it.

    Args:
        file: where numbers are kept; None: in memory only (tests, stories).
        readonly: read what is there (``refresh`` reads on); another process numbers.
    """

    def __init__(self, file: Path | None = None, *, readonly: bool = False) -> None:
        self._path = file
        self._readonly = readonly
        self._lock = threading.Lock()
        self._all: list[Series] = []
        self._numbers: dict[str, dict[str, int]] = {}
        self._kinds: dict[tuple[str, str], int] = {}
        self._kind_of = np.zeros(1_024, np.int32)
        self._synced = 0
        self._read_to = _HEADER
        self._out: BinaryIO | None = None
        if file is None:
            return
        if not readonly and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_MAGIC + (1).to_bytes(8, "little"))
        self.refresh()
        if not readonly:
            self._out = file.open("r+b", buffering=0)
            self._out.truncate(self._read_to)
            self._out.seek(self._read_to)

    def __len__(self) -> int:
        return len(self._all)

    def get(self, number: int) -> Series:
        """Return a series; raises IndexError for a number that was never given."""
        return self._all[number]

    def find(self, entity_id: str, property_name: str) -> int | None:
        """Return the number of a series, or None."""
        numbers = self._numbers.get(property_name)
        return None if numbers is None else numbers.get(entity_id)

    def kinds(self) -> list[tuple[str, str]]:
        """Return every (entity type, property) that has a series, in the order in which they first appeared."""
        return list(self._kinds)

    def kind_count(self) -> int:
        """Return how many kinds there are."""
        return len(self._kinds)

    def kind_of(self) -> NDArray[np.int32]:
        """Return, by number, an index into ``kinds``; longer than there are series, and as it was when asked for.

        What lies behind the last number is undefined.
        """
        return self._kind_of

    def number_of(self, entity_id: str, entity_type: str, property_name: str, device_id: str | None = None) -> int:
        """Return the number of a series, given now if it has none."""
        number = self.find(entity_id, property_name)
        if number is not None:
            return number
        with self._lock:
            number = self.find(entity_id, property_name)
            if number is None:
                number = len(self._all)
                self._add(Series(number, entity_id, entity_type, property_name, device_id))
            return number

    def sync(self) -> None:
        """Make all numbers given so far durable. Raises OSError; then nothing was given away."""
        if self._out is None or self._synced == len(self._all):
            return
        with self._lock:
            count = len(self._all)
            fresh = self._all[self._synced : count]
        body = msgspec.msgpack.encode(fresh)
        frame = len(body).to_bytes(4, "little") + xxh3_64_intdigest(body).to_bytes(8, "little") + body
        self._out.seek(self._read_to)
        self._out.write(frame)
        os.fdatasync(self._out.fileno())
        self._read_to += len(frame)
        self._synced = count

    def refresh(self) -> None:
        """Read what was written since; a torn end is left for the next time."""
        if self._path is None or not self._path.exists():  # the process that numbers has not started yet
            return
        with self._lock, self._path.open("rb") as file:
            head = file.read(_HEADER)
            if head[:8] != _MAGIC:
                raise Fault("log.damaged", file=str(self._path), offset=0, sequence=0)
            file.seek(self._read_to)
            decoder = msgspec.msgpack.Decoder(list[Series])
            while len(lead := file.read(12)) == 12:
                body = file.read(int.from_bytes(lead[:4], "little"))
                if xxh3_64_intdigest(body) != int.from_bytes(lead[4:], "little"):
                    break
                for one in decoder.decode(body):
                    self._add(one)
                self._read_to += 12 + len(body)
            self._synced = len(self._all)

    def _add(self, one: Series) -> None:
        """Make a series known; its kind first, so that whoever sees the number finds it."""
        number = one.number
        kind = self._kinds.setdefault((one.entity_type, one.property), len(self._kinds))
        if number >= len(self._kind_of):
            self._kind_of = np.concatenate((self._kind_of, np.zeros(len(self._kind_of), np.int32)))
        self._kind_of[number] = kind
        self._all.append(one)
        numbers = self._numbers.get(one.property)
        if numbers is None:
            numbers = self._numbers[one.property] = {}
        numbers[one.entity_id] = number

    def close(self) -> None:
        """Close the file."""
        if self._out is not None:
            self._out.close()
            self._out = None
