"""The catalogue of series: which number stands for which property of which entity, for ever."""

from __future__ import annotations

import os
import secrets
import struct
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from gulou.connectivity.intake.sealing import LogKeys, Seal, seal_of
from gulou.connectivity.intake.series_names import SeriesNames
from gulou.connectivity.intake.series_rows import Series, SeriesRows, read_rows
from gulou.kernel.errors import Fault

_MAGIC = b"GULOUSER"
_PLAIN = struct.Struct("<8sQ")  # magic, version 1
_SEALED = struct.Struct("<8sQQ16sQ")  # magic, version 2, key, salt, xxh3-64 of what precedes
_LEAD = struct.Struct("<IQ")  # length and xxh3-64 of a frame's body
_ANEW = 10_000
_MANY = 500_000
"""From so many bytes of series at the start on, an object is made of each when it is asked for."""


class SeriesCatalogue:
    """Numbers series, in the order in which they first appear; a number never changes its meaning.

    Any thread may ask; ``number_of`` may be called from any thread too. ``sync`` makes new numbers durable; the intake
    calls it before a record that uses them is written, so that whoever reads the log can always resolve it.

    Args:
        file: where numbers are kept; None: in memory only (tests, stories).
        readonly: read what is there (``refresh`` reads on); another process numbers.
        keys: encrypt the file; one that is not, or by an earlier key, is written anew at the start.

    Raises:
        Fault: ``log.damaged``; ``log.key_missing``, ``log.key_wrong``.
    """

    def __init__(self, file: Path | None = None, *, readonly: bool = False, keys: LogKeys | None = None) -> None:
        self._path = file
        self._keys = keys
        self._header = b""
        self._seal: Seal | None = None
        self._readonly = readonly
        self._lock = threading.Lock()
        self._all: list[Series | None] = []
        """Of what was there at the start, each as soon as it is asked for."""
        self._rows: SeriesRows | None = None
        self._names = SeriesNames(self.get)
        self._kinds: dict[tuple[str, str], int] = {}
        self._kind_of = np.zeros(1_024, np.int32)
        self._synced = 0
        self._read_to = 0
        self._out: BinaryIO | None = None
        if file is not None and not readonly and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._new_header())
        self.refresh()
        if file is not None and not readonly:
            if keys is not None:
                self._seal_anew(file)
            self._out = file.open("r+b", buffering=0)
            self._out.truncate(self._read_to)
            self._out.seek(self._read_to)

    def __len__(self) -> int:
        return len(self._all)

    def get(self, number: int) -> Series:
        """Return a series; raises IndexError for a number that was never given."""
        one = self._all[number]
        if one is None and self._rows is not None:
            self._all[number] = one = self._rows[number]
        assert one is not None
        return one

    def find(self, entity_id: str, property_name: str) -> int | None:
        """Return the number of a series, or None."""
        return self._names.find(entity_id, property_name)

    def find_many(self, entity_ids: Sequence[str], property_name: str) -> NDArray[np.int64]:
        """Return the numbers of one property of many entities, -1 for none; shape (n,)."""
        return self._names.find_many(entity_ids, property_name)

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

    def numbers_of(self, wanted: Iterable[tuple[str, str, str, str | None]]) -> list[int]:
        """Return the numbers of many series, each given now if it has none; as ``number_of`` one after the other.

        Args:
            wanted: (entity id, entity type, property, device id) each.
        """
        found = []
        with self._lock:
            find, first = self._names.find, len(self._all)
            fresh: list[Series] = []
            given: dict[tuple[str, str], int] = {}
            for entity_id, entity_type, property_name, device_id in wanted:
                number = find(entity_id, property_name)
                if number is None:
                    key = entity_id, property_name
                    number = given.get(key)
                    if number is None:
                        number = given[key] = first + len(fresh)
                        fresh.append(Series(number, entity_id, entity_type, property_name, device_id))
                found.append(number)
            if fresh:
                self._add_all(fresh)
        return found

    def get_many(self, numbers: Iterable[int]) -> list[Series]:
        """Return many series; raises IndexError for a number that was never given."""
        get = self.get
        return [get(number) for number in numbers]

    def sync(self) -> None:
        """Make all numbers given so far durable. Raises OSError; then nothing was given away."""
        if self._out is None or self._synced == len(self._all):
            return
        with self._lock:
            count = len(self._all)
        fresh = self.get_many(range(self._synced, count))
        frame = self._frame(fresh)
        self._out.seek(self._read_to)
        self._out.write(frame)
        os.fdatasync(self._out.fileno())
        self._read_to += len(frame)
        self._synced = count

    def refresh(self) -> None:
        """Read what another process wrote since; a torn end is left for the next time."""
        if self._path is None or self._out is not None or not self._path.exists():  # who numbers has not started yet
            return
        with self._lock, self._path.open("rb") as file:
            self._read_header(file, self._path)
            file.seek(self._read_to)
            read_to = self._read_to
            bodies: list[bytes] = []
            while len(lead := file.read(_LEAD.size)) == _LEAD.size:
                length, checksum = _LEAD.unpack(lead)
                stored = file.read(length)
                if xxh3_64_intdigest(stored) != checksum:
                    break
                body = stored if self._seal is None else self._seal.open(stored, read_to.to_bytes(8, "little"))
                if body is None:
                    raise Fault("log.damaged", file=str(self._path), offset=read_to, sequence=0)
                bodies.append(body)
                read_to += _LEAD.size + length
            if self._all or read_to - self._read_to < _MANY or not self._begin(bodies):
                self._read(bodies)
            self._read_to = read_to
            self._synced = len(self._all)

    def _begin(self, bodies: list[bytes]) -> bool:
        """Know the first series by where they lie; tell whether that can be done."""
        rows = read_rows(bodies)
        if rows is None:
            return False
        self._rows = rows
        self._kinds = {kind: place for place, kind in enumerate(rows.kinds)}
        self._kind_of = rows.kind_of
        self._all = [None] * len(rows)
        self._names.begin(rows.names)
        return True

    def _read(self, bodies: list[bytes]) -> None:
        """Make objects of series; what is known already is passed over."""
        decoder = msgspec.msgpack.Decoder(list[Series])
        known, fresh = len(self._all), list[Series]()
        for body in bodies:
            some = decoder.decode(body)
            fresh += [one for one in some if one.number >= known] if some[0].number < known else some
        self._add_all(fresh)

    def _new_header(self) -> bytes:
        if self._keys is None:
            return _PLAIN.pack(_MAGIC, 1)
        fields = _SEALED.pack(_MAGIC, 2, self._keys.newest, secrets.token_bytes(16), 0)[:-8]
        return fields + xxh3_64_intdigest(fields).to_bytes(8, "little")

    def _read_header(self, file: BinaryIO, path: Path) -> None:
        """Read the header; where it is another than before, the file was written anew and is read from its begin."""
        lead = file.read(_PLAIN.size)
        sealed = lead == _PLAIN.pack(_MAGIC, 2)
        header = lead + file.read(_SEALED.size - len(lead)) if sealed else lead
        sound = header == _PLAIN.pack(_MAGIC, 1) or (
            sealed and xxh3_64_intdigest(header[:-8]).to_bytes(8, "little") == header[-8:]
        )
        if not sound:
            raise Fault("log.damaged", file=str(path), offset=0, sequence=0)
        if header != self._header:
            key_id, salt = (_SEALED.unpack(header)[2:4]) if sealed else (0, b"")
            self._seal = seal_of(self._keys, path, key_id, salt)
            self._header, self._read_to = header, len(header)

    def _seal_anew(self, path: Path) -> None:
        """Write the whole file with the newest key, if it is not yet."""
        if self._keys is not None and int.from_bytes(self._header[16:24], "little") == self._keys.newest:
            return
        header = self._new_header()
        fresh = path.with_suffix(".new")
        self._seal = None if self._keys is None else self._keys.seal_for(path, self._keys.newest, header[24:40])
        self._header, self._read_to = header, len(header)
        with fresh.open("wb") as out:
            out.write(header)
            for first in range(0, len(self._all), _ANEW):
                frame = self._frame(self.get_many(range(first, min(first + _ANEW, len(self._all)))))
                out.write(frame)
                self._read_to += len(frame)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
        self._synced = len(self._all)

    def _frame(self, fresh: list[Series]) -> bytes:
        body = msgspec.msgpack.encode(fresh)
        if self._seal is not None:
            body = self._seal.seal(body, self._read_to.to_bytes(8, "little"))
        return _LEAD.pack(len(body), xxh3_64_intdigest(body)) + body

    def _add(self, one: Series) -> None:
        """Make a series known; its kind first, so that whoever sees the number finds it."""
        self._add_all([one])

    def _add_all(self, fresh: list[Series]) -> None:
        """Make series known that follow the last one in order."""
        first, kinds = len(self._all), self._kinds
        while first + len(fresh) > len(self._kind_of):
            self._kind_of = np.concatenate((self._kind_of, np.zeros(len(self._kind_of), np.int32)))
        kind_of = [kinds.setdefault((one.entity_type, one.property), len(kinds)) for one in fresh]
        self._kind_of[first : first + len(fresh)] = kind_of
        self._all += fresh
        self._names.add(first, fresh)

    def close(self) -> None:
        """Close the file."""
        if self._out is not None:
            self._out.close()
            self._out = None
