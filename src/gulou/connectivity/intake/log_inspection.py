"""Looks at a log's files as they lie there: a copy, or beside the process that writes them. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gulou.connectivity.intake.log_head import HeadReader
from gulou.connectivity.intake.log_readers import reader_positions
from gulou.connectivity.intake.model import LogBatch
from gulou.connectivity.intake.record import decode_record, to_batch
from gulou.connectivity.intake.sealing import LogKeys, seal_of
from gulou.connectivity.intake.segment import DATA_OFFSET, Frame, Head, find_later_frame, read_frame, read_head
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.kernel.errors import Fault, NotFound


class SeenHead(msgspec.Struct, frozen=True, tag="head", tag_field="kind"):
    """What the writer told last to be durable."""

    last_sequence: int
    segment: int
    end: int


class SeenReader(msgspec.Struct, frozen=True, tag="reader", tag_field="kind"):
    """How far a reader in another process has come. ``told_at_us``: µs since the Unix epoch, UTC."""

    name: str
    sequence: int
    told_at_us: int


class SeenSegment(msgspec.Struct, frozen=True, tag="segment", tag_field="kind"):
    """One file. ``used`` bytes of ``size`` hold sound frames; it is written up to there."""

    file: str
    first_sequence: int
    last_sequence: int
    frames: int
    used: int
    size: int
    sealed: bool


class SeenRecord(msgspec.Struct, frozen=True):
    """One record, and where the frame that holds it begins."""

    file: str
    offset: int
    batch: LogBatch


class Damage(msgspec.Struct, frozen=True, tag="damage", tag_field="kind"):
    """What is wrong.

    Args:
        problem: ``header`` (no segment), ``frame`` (broken, with sound ones behind), ``gap`` (sequences missing),
            ``short`` (durable records are missing at the end), ``record`` (cannot be decoded), ``series`` (a number
            that the catalogue does not have).
        resumes: the next sequence that can be read; None where there is none in this file.
    """

    problem: str
    file: str
    offset: int
    sequence: int
    resumes: int | None = None


Seen = SeenHead | SeenReader | SeenSegment | SeenRecord | Damage


class LogInspector:
    """Walks over a log's directory.

    Args:
        directory: holds ``*.seg``, and ``series`` where there are columns.
        keys: open what is sealed.

    Raises:
        NotFound: ``log.none``: there is no log.
        Fault: ``log.key_missing``, ``log.key_wrong``.
    """

    def __init__(self, directory: Path, keys: LogKeys | None = None) -> None:
        self._directory = directory
        self._keys = keys
        if not self._files():
            raise NotFound("log.none", path=str(directory))
        self.series = SeriesCatalogue(directory / "series", readonly=True, keys=keys)

    def state(self) -> Iterator[SeenHead | SeenReader]:
        """Yield what the writer and the readers have told."""
        head = HeadReader(self._directory)
        told = head.look()
        head.close()
        if told is not None:
            yield SeenHead(told.last_sequence, told.segment, told.end)
        for one in reader_positions(self._directory):
            yield SeenReader(one.name, one.sequence, one.told_at_us)

    def walk(self, first: int = 1, last: int | None = None, *, records: bool = True) -> Iterator[Seen]:
        """Yield every segment, behind its records from ``first`` to ``last``, and all damage.

        A file that the writer gives up meanwhile is left out. Nothing is read ahead: stop whenever enough was seen.

        Args:
            records: False: only see whether the frames are sound.
        """
        before = [one for one in self.state() if isinstance(one, SeenHead)]
        expected: int | None = None
        for path, begins in self._files():
            if last is not None and begins > last:
                return
            if expected is not None and begins != expected:
                yield Damage("gap", path.name, 0, expected, begins)
            ended: int | None = None
            for seen in self._segment(path, begins, first, last, records=records):
                ended = seen.last_sequence if isinstance(seen, SeenSegment) else ended
                yield seen
            expected = None if ended is None else ended + 1
        if last is None and before and expected is not None and expected <= before[0].last_sequence:
            yield Damage("short", self._files()[-1][0].name, 0, expected)

    def _files(self) -> list[tuple[Path, int]]:
        paths = sorted(path for path in self._directory.glob("*.seg") if path.stem.isdecimal())
        return [(path, int(path.stem)) for path in paths]

    def _segment(
        self, path: Path, begins: int, first: int, last: int | None, *, records: bool
    ) -> Iterator[SeenRecord | SeenSegment | Damage]:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            head = read_head(descriptor)
            if head is None or head.first_sequence != begins:
                if path.exists():
                    yield Damage("header", path.name, 0, begins)
                return
            yield from self._frames(_File(path, descriptor, head), first, last, records=records)
        finally:
            os.close(descriptor)

    def _frames(
        self, file: _File, first: int, last: int | None, *, records: bool
    ) -> Iterator[SeenRecord | SeenSegment | Damage]:
        seal = seal_of(self._keys, file.path, file.head.key_id, file.head.salt)
        offset, expected, frames = DATA_OFFSET, file.head.first_sequence, 0
        while True:
            frame = read_frame(file.descriptor, offset, file.size(), file.head, seal, content=records)
            if frame is None or frame.first_sequence != expected:
                found = file.later(offset, expected)
                if found is None:
                    break
                if found.first_sequence == expected and found.begin == offset:  # finished while we looked
                    continue
                if not file.is_still_there():
                    return
                yield Damage("frame", file.path.name, offset, expected, found.first_sequence)
                offset, expected = found.begin, found.first_sequence
                continue
            yield from self._records(file, offset, frame, first, last)
            offset, expected, frames = frame.end, expected + frame.count, frames + 1
        yield SeenSegment(
            file.path.name,
            file.head.first_sequence,
            expected - 1,
            frames,
            offset,
            file.size(),
            file.head.key_id != 0,
        )

    def _records(
        self, file: _File, offset: int, frame: Frame, first: int, last: int | None
    ) -> Iterator[SeenRecord | Damage]:
        for sequence, data in enumerate(frame.records, frame.first_sequence):
            if sequence < first or (last is not None and sequence > last):
                continue
            try:
                batch = to_batch(sequence, *decode_record(sequence, data))
            except Fault:
                yield Damage("record", file.path.name, offset, sequence)
                continue
            if not self._knows(batch):
                yield Damage("series", file.path.name, offset, sequence)
            yield SeenRecord(file.path.name, offset, batch)

    def _knows(self, batch: LogBatch) -> bool:
        if batch.columns is None or not len(batch.columns):
            return True
        highest = int(batch.columns.series.max())
        if highest >= len(self.series):
            self.series.refresh()
        return int(batch.columns.series.min()) >= 0 and highest < len(self.series)


class _Found(msgspec.Struct, frozen=True):
    begin: int
    first_sequence: int


class _File:
    """A segment as it lies there."""

    def __init__(self, path: Path, descriptor: int, head: Head) -> None:
        self.path = path
        self.descriptor = descriptor
        self.head = head

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def later(self, offset: int, expected: int) -> _Found | None:
        """Return the next sound frame past one that is not; that one itself if it has become sound meanwhile."""
        begin = find_later_frame(self.descriptor, offset, self.size(), self.head, expected)
        if begin is None:
            return None
        again = read_frame(self.descriptor, offset, self.size(), self.head, content=False)
        if again is not None and again.first_sequence == expected:
            return _Found(offset, expected)
        frame = read_frame(self.descriptor, begin, self.size(), self.head, content=False)
        return None if frame is None else _Found(begin, frame.first_sequence)

    def is_still_there(self) -> bool:
        head = read_head(self.descriptor)
        return self.path.exists() and head is not None and head.seed == self.head.seed
