"""The durable log: checksummed commits in segment files that are written out in advance and used again."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from gulou.connectivity.intake.log_head import HeadWriter
from gulou.connectivity.intake.log_readers import ReaderPosition, reader_positions
from gulou.connectivity.intake.sealing import LogKeys, Seal, seal_of
from gulou.connectivity.intake.segment import (
    DATA_OFFSET,
    Frame,
    Head,
    find_later_frame,
    frame_bytes,
    head_bytes,
    read_frame,
    read_head,
)
from gulou.connectivity.intake.settings import LogSettings
from gulou.kernel.clock import SECOND_US, Clock, SystemClock
from gulou.kernel.errors import Conflict, Fault, GulouError, Unavailable

_log = logging.getLogger(__name__)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ZEROS = bytes(1 << 20)
_PAGE = 4_096
_REST_S = 0.01
"""Between the MiBs of a file that is written out in advance: a commit's sync must not wait behind all of them."""


@dataclass(slots=True)
class _Segment:
    path: Path
    first_sequence: int
    full_at: float = float("inf")
    """When it was left for the next, seconds since the Unix epoch."""


class SegmentLog:
    """A ``ReadingLog`` in a directory that one process owns.

    ``append`` writes all its records as one checksummed frame and returns after ``fdatasync``. Whoever gathers what
    waits into one call gets group commit. A crash leaves at most one torn frame, at the end, which was never
    acknowledged; it is overwritten.

    Args:
        directory: created if missing.
        readers: names of the ``LogFollower``s in other processes that are waited for, also before their first word;
            None: whichever have spoken. Empty: nobody, whatever words are left from an earlier life.
        clock: for the age of files and of readers' words; the machine's own by default, as files' times are.

    Raises:
        Conflict: ``log.in_use``: another process has it open.
        Fault: ``log.damaged`` with file, offset and sequence: a frame is broken that others follow;
            ``log.write_failed``: the directory cannot be written; ``log.key_missing``, ``log.key_wrong``.
        Invalid: ``log.key_unreadable``.
        Unavailable: ``intake.disk_full``: no room for the first segment.
    """

    def __init__(
        self,
        directory: Path,
        settings: LogSettings | None = None,
        *,
        readers: Collection[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock or SystemClock()
        self._expected_readers = None if readers is None else frozenset(readers)
        self._told: HeadWriter | None = None
        self._settings = settings or LogSettings()
        self._segment_bytes = max(int(self._settings.segment_mb * 1024 * 1024), DATA_OFFSET)
        self._guard = threading.Lock()
        self._broken = False
        self._preparing: threading.Thread | None = None
        self._closing = threading.Event()
        self._unsynced_name = False
        self.keys = LogKeys.read(self._settings.encryption_key_file)
        self._seal: Seal | None = None
        self._lock_descriptor = _lock(directory)
        self._descriptor = -1
        try:
            self._segments = self._list_segments()
            if self._segments:
                self._open_last()
                while self._adopt():
                    self._open_last()
            else:
                self._last = 0
            for unfinished in [*directory.glob("spare-*.new"), *directory.glob("spare-*.old")]:
                unfinished.unlink()
            if self.keys:  # those that may hold what was written without a key
                for path in directory.glob("spare-*"):
                    path.unlink()
            if not self._segments or self._head.key_id != self._key_id():
                self._start_segment(0)
            self._told = _head_writer(directory)
            self._tell()
        except GulouError:
            self._release()
            raise

    def append(self, records: list[bytes]) -> int:
        """Write and sync; return the sequence of the last record.

        Raises:
            Unavailable: ``intake.disk_full``; nothing was taken.
            Fault: ``log.write_failed``: the disk refused; the log takes nothing more before ``mend``, because after a
                failed sync nobody knows what of this file is on the disk.
        """
        if not records:
            return self._last
        with self._guard:
            if self._descriptor < 0:
                raise Unavailable("intake.stopped")
            if self._broken:
                raise Fault("log.write_failed", file=str(self._segments[-1].path), problem="earlier failure")
            frame = frame_bytes(records, self._last + 1, self._head.seed, self._seal)
            if self._offset + len(frame) > self._size and self._offset > DATA_OFFSET:
                self._start_segment(len(frame))
                frame = frame_bytes(records, self._last + 1, self._head.seed, self._seal)
            elif self._offset + len(frame) > self._size:
                self._grow(len(frame))
            self._write(frame)
            self._offset += len(frame)
            self._last += len(records)
            self._tell()
            return self._last

    def mend(self) -> None:
        """Take up writing again after a failure, in a new file; does nothing while all is well. Any thread.

        What was synced before the failure is in the old file and stays. What failed was never acknowledged, and is
        never read: the new file begins with its sequence.

        Raises:
            Fault: ``log.write_failed``: the disk still refuses.
            Unavailable: ``intake.disk_full``.
        """
        with self._guard:
            if self._broken and self._descriptor >= 0:
                self._start_segment(0, spare=False)
                self._broken = False
                self._tell()

    def read_from(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, record) up to what was durable when the call was made.

        Do not ``forget_before`` anything that is still being read.

        Raises:
            Fault: ``log.damaged``.
        """
        with self._guard:
            last = self._last
            segments = list(self._segments)
        for index, segment in enumerate(segments):
            following = segments[index + 1].first_sequence if index + 1 < len(segments) else last + 1
            if following > sequence:
                yield from self._read_segment(segment, sequence, following)

    def last_sequence(self) -> int:
        return self._last

    def first_sequence(self) -> int:
        """Return the oldest sequence still kept; one past the last when nothing is."""
        with self._guard:
            return self._segments[0].first_sequence

    def forget_before(self, sequence: int) -> None:
        """Give up full segments that end before ``sequence`` and before what other processes' readers lack.

        The newest ``keep_segments`` stay, and those younger than ``keep_hours`` as far as ``keep_mb`` allows.
        """
        now = self._clock.now_us() / SECOND_US
        with self._guard:
            sequence = min([sequence, *(reader.sequence for reader in self._awaited(now))])
            given_up: list[Path] = []
            while len(self._segments) > self._settings.keep_segments + 1:
                if self._segments[1].first_sequence > sequence or self._is_young(now):
                    break
                given_up += self._recycle(self._segments.pop(0), len(given_up))
        if (
            given_up
        ):  # before a file is written over, its old name must be gone for good; commits need not wait for that
            _sync_directory(self._directory)
            for path in given_up:
                path.rename(path.with_suffix(".free"))

    def readers(self) -> list[ReaderPosition]:
        """Return what the readers in other processes have said."""
        return reader_positions(self._directory)

    def prepare(self) -> None:
        """See to what need not hold up a commit: the next segment, written out when this one is half full; any thread.

        Returns at once; a thread does it. A disk without room is left for the commit to notice.
        """
        with self._guard:
            if self._descriptor < 0 or (self._preparing is not None and self._preparing.is_alive()):
                return
            due = self._offset > self._size // 2 and not self._find_spare(self._segment_bytes)
            if due or self._unsynced_name:
                self._preparing = threading.Thread(target=self._prepare, args=(due,), name="log:prepare", daemon=True)
                self._preparing.start()

    def _prepare(self, spare: bool) -> None:
        try:
            if self._unsynced_name:
                self._unsynced_name = False
                _sync_directory(self._directory)
            if spare:
                self._make_spare()
        except OSError as error:
            if error.errno not in _NO_SPACE:
                _log.warning("the log's next file cannot be prepared: %s", os.strerror(error.errno or 0))

    def _make_spare(self) -> None:
        fresh = self._directory / f"spare-{secrets.token_hex(6)}.new"
        try:
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                for size in range(0, self._segment_bytes, len(_ZEROS)):
                    _fill(descriptor, min(size + len(_ZEROS), self._segment_bytes))
                    os.fdatasync(descriptor)
                    if self._closing.wait(_REST_S):
                        fresh.unlink()
                        return
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.rename(fresh.with_suffix(".free"))
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def size_bytes(self) -> int:
        """Return what the log occupies on disk."""
        return sum(path.stat().st_size for path in self._directory.iterdir())

    def close(self) -> None:
        self._closing.set()
        if self._preparing is not None:
            self._preparing.join()
        with self._guard:
            self._release()

    def _awaited(self, now: float) -> list[ReaderPosition]:
        """Return the readers that are waited for; one that is expected and has not spoken yet lacks everything."""
        told = reader_positions(self._directory)
        spoken_after_us = (now - self._settings.reader_silent_hours * 3_600) * 1_000_000
        expected = self._expected_readers
        awaited = [reader for reader in told if reader.told_at_us > spoken_after_us]
        if expected is None:
            return awaited
        unheard = expected - {reader.name for reader in told}
        return [reader for reader in awaited if reader.name in expected] + [
            ReaderPosition(name, 0, 0) for name in unheard
        ]

    def _is_young(self, now: float) -> bool:
        """Tell whether the oldest segment is kept for its age."""
        kept_bytes = (len(self._segments) - 1) * self._segment_bytes
        is_recent = now - self._segments[0].full_at < self._settings.keep_hours * 3_600
        return is_recent and kept_bytes <= self._settings.keep_mb * 1024 * 1024

    def _tell(self) -> None:
        if self._told is not None:
            self._told.tell(self._last, self._segments[-1].first_sequence, self._offset)

    def _write(self, frame: bytes) -> None:
        """Write a frame and sync, with zeros up to the end of its last page.

        A page that is written whole need not be read first; of a file that is used again, the disk would be asked for
        each of them, in the midst of a commit.
        """
        end = self._offset + len(frame)
        rest = min(-end % _PAGE, self._size - end)
        try:
            _pwrite_all(self._descriptor, frame + _ZEROS[:rest], self._offset)
            os.fdatasync(self._descriptor)
        except OSError as error:
            path = str(self._segments[-1].path)
            if error.errno in _NO_SPACE:
                raise Unavailable("intake.disk_full", path=path) from error
            self._broken = True
            raise Fault("log.write_failed", file=path, problem=os.strerror(error.errno or 0)) from error

    def _list_segments(self) -> list[_Segment]:
        paths = sorted(path for path in self._directory.glob("*.seg") if path.stem.isdecimal())
        return [_Segment(path, int(path.stem), path.stat().st_mtime) for path in paths]

    def _open_last(self) -> None:
        segment = self._segments[-1]
        self._descriptor = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        self._head = _sound_head(self._descriptor, segment)
        self._seal = seal_of(self.keys, segment.path, self._head.key_id, self._head.salt)
        self._offset, self._last = DATA_OFFSET, segment.first_sequence - 1
        while frame := self._next_frame():
            self._offset = frame.end
            self._last += frame.count
        later = find_later_frame(self._descriptor, self._offset, self._size, self._head, self._last + 1)
        if later is not None:
            raise _damaged(segment, self._offset, self._last + 1)

    def _adopt(self) -> bool:
        """Give the file that goes on where the last one ends its name, if a crash has undone that; tell whether."""
        for path in sorted(self._directory.glob("spare-*.free")):
            if self._goes_on(path):
                os.close(self._descriptor)
                self._descriptor = -1
                named = self._directory / f"{self._last + 1:020d}.seg"
                path.rename(named)
                _sync_directory(self._directory)
                self._segments.append(_Segment(named, self._last + 1))
                return True
        return False

    def _goes_on(self, path: Path) -> bool:
        """Tell whether a file begins with what comes next. What it held in an earlier life has passed sequences."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = read_head(descriptor)
            if head is None or head.first_sequence != self._last + 1:
                return False
            frame = read_frame(descriptor, DATA_OFFSET, os.fstat(descriptor).st_size, head, content=False)
            return frame is not None and frame.first_sequence == head.first_sequence
        finally:
            os.close(descriptor)

    def _next_frame(self) -> Frame | None:
        frame = read_frame(self._descriptor, self._offset, self._size, self._head, content=False)
        return frame if frame is not None and frame.first_sequence == self._last + 1 else None

    def _read_segment(self, segment: _Segment, sequence: int, following: int) -> Iterator[tuple[int, bytes]]:
        descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            head = _sound_head(descriptor, segment)
            seal = seal_of(self.keys, segment.path, head.key_id, head.salt)
            offset, expected = DATA_OFFSET, segment.first_sequence
            while expected < following:
                frame = read_frame(descriptor, offset, size, head, seal)
                if frame is None or frame.first_sequence != expected:
                    raise _damaged(segment, offset, expected)
                for number, record in enumerate(frame.records, expected):
                    if number >= sequence:
                        yield number, record
                offset = frame.end
                expected += len(frame.records)
        finally:
            os.close(descriptor)

    def _key_id(self) -> int:
        return 0 if self.keys is None else self.keys.newest

    def _start_segment(self, frame_length: int, *, spare: bool = True) -> None:
        """Go on in a new file.

        A spare one, whose bytes and name are durable, becomes it without a sync of its own: the first commit's sync
        covers its header, and until its new name is durable a start knows it by that (``_adopt``). Any other file is
        whole and durable before it gets its name.
        """
        size = max(self._segment_bytes, DATA_OFFSET + frame_length)
        head = Head(self._last + 1, secrets.randbits(64), self._key_id())
        found = self._find_spare(size) if spare and self._segments else None
        fresh = found or self._directory / f"spare-{secrets.token_hex(6)}.free"
        descriptor = -1
        try:
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            _fill(descriptor, size)
            _pwrite_all(descriptor, head_bytes(head), 0)
            if found is None:
                os.fsync(descriptor)
            path = self._directory / f"{head.first_sequence:020d}.seg"
            fresh.rename(path)
            if found is None:
                _sync_directory(self._directory)
            else:
                self._unsynced_name = True
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            fresh.unlink(missing_ok=True)
            if error.errno in _NO_SPACE:
                raise Unavailable("intake.disk_full", path=str(self._directory)) from error
            raise Fault("log.write_failed", file=str(fresh), problem=os.strerror(error.errno or 0)) from error
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size, self._head, self._offset = descriptor, size, head, DATA_OFFSET
        self._seal = seal_of(self.keys, path, head.key_id, head.salt)
        if self._segments and self._segments[-1].first_sequence == head.first_sequence:
            self._segments.pop()  # it held nothing, and the new file has taken its name
        if self._segments:
            self._segments[-1].full_at = self._clock.now_us() / SECOND_US
        self._segments.append(_Segment(path, head.first_sequence))

    def _grow(self, frame_length: int) -> None:
        """Make an empty segment long enough for one frame that is longer than a segment."""
        size = DATA_OFFSET + frame_length
        try:
            _fill(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise Unavailable("intake.disk_full", path=str(self._directory)) from error
            raise Fault(
                "log.write_failed", file=str(self._segments[-1].path), problem=os.strerror(error.errno or 0)
            ) from error
        self._size = size

    def _find_spare(self, size: int) -> Path | None:
        spares = sorted(self._directory.glob("spare-*.free"))
        return next((spare for spare in spares if spare.stat().st_size == size), None)

    def _recycle(self, segment: _Segment, others: int) -> list[Path]:
        """Keep the file for using again, unless that would leave on the disk what was written without the key.

        Returns:
            What it is called until its old name is durably gone; nothing where it was removed.
        """
        spares = len(list(self._directory.glob("spare-*.free"))) + others
        usable = segment.path.stat().st_size == self._segment_bytes and (self.keys is None or _is_sealed(segment))
        if not usable or spares >= self._settings.spare_segments:
            segment.path.unlink()
            return []
        kept = self._directory / f"spare-{segment.first_sequence:020d}.old"
        segment.path.rename(kept)
        return [kept]

    def _release(self) -> None:
        for descriptor in (self._descriptor, self._lock_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock_descriptor = -1
        if self._told is not None:
            self._told.close()
            self._told = None


def _head_writer(directory: Path) -> HeadWriter:
    try:
        return HeadWriter(directory, secrets.randbits(64))
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Unavailable("intake.disk_full", path=str(directory)) from error
        raise Fault("log.write_failed", file=str(directory), problem=os.strerror(error.errno or 0)) from error


def _lock(directory: Path) -> int:
    """Make the directory, and be its only writer."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise Unavailable("intake.disk_full", path=str(directory)) from error
        raise Fault("log.write_failed", file=str(directory), problem=os.strerror(error.errno or 0)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict("log.in_use", path=str(directory)) from None
    return descriptor


def _sound_head(descriptor: int, segment: _Segment) -> Head:
    head = read_head(descriptor)
    if head is None or head.first_sequence != segment.first_sequence:
        raise _damaged(segment, 0, segment.first_sequence)
    return head


def _is_sealed(segment: _Segment) -> bool:
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = read_head(descriptor)
    finally:
        os.close(descriptor)
    return head is not None and head.key_id != 0


def _damaged(segment: _Segment, offset: int, sequence: int) -> Fault:
    return Fault("log.damaged", file=str(segment.path), offset=offset, sequence=sequence)


def _fill(descriptor: int, size: int) -> None:
    """Write zeros up to ``size``, so that later commits change no metadata and cannot run out of space."""
    written = os.fstat(descriptor).st_size
    while written < size:
        written += os.pwrite(descriptor, _ZEROS[: size - written], written)


def _pwrite_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
