"""Reads a log beside the process that writes it, without a lock."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from gulou.connectivity.intake.log_head import DurableEnd, HeadReader
from gulou.connectivity.intake.log_readers import ReaderFile
from gulou.connectivity.intake.sealing import LogKeys, Seal, seal_of
from gulou.connectivity.intake.segment import DATA_OFFSET, Head, read_frame, read_head
from gulou.kernel.clock import Clock, SystemClock
from gulou.kernel.errors import Fault

_SHORTEST_PAUSE_S = 0.000_5
_LONGEST_PAUSE_S = 0.01


class LogFollower:
    """A ``LogReader`` of a directory that another process (or another object in this one) writes.

    It reads only what the writer has told to be durable (``head``), so it never meets a torn frame. The writer may
    start later, stop, and start again; nothing has to be opened anew. One thread at a time may read; ``wait`` and the
    sequences may be asked from any.

    Args:
        directory: the log's; it need not exist yet.
        name: under which this reader says how far it has come (``forget_before``), so that the writer keeps the rest;
            None: the writer waits for nobody, and a slow reader may find that what it wants is gone.
        keys: open what is sealed (``LogKeys.read(settings.encryption_key_file)``).
        clock: dates this reader's words; as files' ages do, by the machine's own by default.
    """

    def __init__(
        self, directory: Path, name: str | None = None, *, keys: LogKeys | None = None, clock: Clock | None = None
    ) -> None:
        self._directory = directory
        self._keys = keys
        self._clock = clock or SystemClock()
        self._head = HeadReader(directory)
        self._head_guard = threading.Lock()
        self._file = None if name is None else ReaderFile(directory, name)
        self._open: _OpenSegment | None = None

    def last_sequence(self) -> int:
        """Return the last durable sequence; 0 before the writer's first start."""
        told = self._look()
        return 0 if told is None else told.last_sequence

    def first_sequence(self) -> int:
        """Return the oldest sequence still kept; one past the last when none is."""
        firsts = self._segments()
        return firsts[0] if firsts else self.last_sequence() + 1

    def wait(self, after: int, timeout_s: float) -> int:
        """Wait until something later than ``after`` is durable, at most ``timeout_s``; return the last sequence."""
        deadline = time.monotonic() + timeout_s
        pause_s = _SHORTEST_PAUSE_S
        while True:
            last = self.last_sequence()
            left_s = deadline - time.monotonic()
            if last > after or left_s <= 0:
                return last
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def read_from(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, record) from ``sequence`` up to what was durable when the call was made.

        Going on where the last call ended costs no search.

        Raises:
            Fault: ``log.fallen_behind``: ``sequence`` is no longer kept, or was recycled while being read; with
                ``first``, what is kept. ``log.damaged``; ``log.key_missing``, ``log.key_wrong``.
        """
        told = self._look()
        expected = sequence
        while told is not None and expected <= told.last_sequence:
            for number, record in self._frame_at(expected, told):
                if number >= expected:
                    yield number, record
                    expected = number + 1

    def forget_before(self, sequence: int) -> None:
        """Say that everything up to ``sequence`` is durable with this reader; the writer may give it up."""
        if self._file is not None:
            self._file.tell(sequence, self._clock.now_us())

    def close(self) -> None:
        """Close what is open; the word given by ``forget_before`` stays."""
        self._close_segment()
        with self._head_guard:
            self._head.close()
        if self._file is not None:
            self._file.close()

    def _look(self) -> DurableEnd | None:
        with self._head_guard:
            return self._head.look()

    def _frame_at(self, sequence: int, told: DurableEnd) -> Iterator[tuple[int, bytes]]:
        """Yield the records of the frame that holds ``sequence``."""
        segment = self._open
        if segment is None or not segment.first <= segment.expected <= sequence:
            segment = self._open_segment(sequence)
        while True:
            if segment.expected >= segment.following(told, self._segments):
                segment = self._open_segment(sequence)
                continue
            frame = read_frame(segment.descriptor, segment.offset, segment.size(), segment.head, segment.seal)
            if frame is None or frame.first_sequence != segment.expected:
                self._refuse(segment, sequence)
            segment.offset = frame.end
            segment.expected += frame.count
            if segment.expected > sequence:
                yield from enumerate(frame.records, frame.first_sequence)
                return

    def _segments(self) -> list[int]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name[:-4]) for name in names if name.endswith(".seg") and name[:-4].isdecimal())

    def _open_segment(self, sequence: int) -> _OpenSegment:
        """Open the segment that holds ``sequence``."""
        self._close_segment()
        firsts = [first for first in self._segments() if first <= sequence]
        if not firsts:
            raise self._fallen_behind(sequence)
        path = self._directory / f"{firsts[-1]:020d}.seg"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._fallen_behind(sequence) from None
        head = read_head(descriptor)
        if head is None or head.first_sequence != firsts[-1]:
            os.close(descriptor)
            if path.exists():
                raise Fault("log.damaged", file=str(path), offset=0, sequence=firsts[-1])
            raise self._fallen_behind(sequence)
        try:
            seal = seal_of(self._keys, path, head.key_id, head.salt)
        except Fault:
            os.close(descriptor)
            raise
        self._open = _OpenSegment(path, descriptor, head, seal)
        return self._open

    def _refuse(self, segment: _OpenSegment, sequence: int) -> NoReturn:
        """Say whether the file was recycled under our feet, or is damaged; always raises."""
        offset, expected, kept = segment.offset, segment.expected, segment.is_still_there()
        self._close_segment()
        if not kept:
            raise self._fallen_behind(sequence)
        raise Fault("log.damaged", file=str(segment.path), offset=offset, sequence=expected)

    def _fallen_behind(self, sequence: int) -> Fault:
        return Fault("log.fallen_behind", sequence=sequence, first=self.first_sequence())

    def _close_segment(self) -> None:
        if self._open is not None:
            os.close(self._open.descriptor)
            self._open = None


class _OpenSegment:
    """A segment being read: the frame at ``offset`` begins with the sequence ``expected``."""

    __slots__ = ("_following", "descriptor", "expected", "first", "head", "offset", "path", "seal")

    def __init__(self, path: Path, descriptor: int, head: Head, seal: Seal | None) -> None:
        self.path = path
        self.descriptor = descriptor
        self.head = head
        self.seal = seal
        self.first = self.expected = head.first_sequence
        self.offset = DATA_OFFSET
        self._following: int | None = None

    def following(self, told: DurableEnd, segments: Callable[[], list[int]]) -> int:
        """Return the sequence with which the next segment begins, or one past the last while this one is written.

        A frame left by a failed write at the end of a full segment is never read: its sequence belongs to the next.
        """
        if told.segment == self.first:
            return told.last_sequence + 1
        if self._following is None:
            later = [first for first in segments() if first > self.first]
            self._following = later[0] if later else told.segment
        return self._following

    def size(self) -> int:
        """Return the file's length; a segment with one long frame has grown."""
        return os.fstat(self.descriptor).st_size

    def is_still_there(self) -> bool:
        """Tell whether its name still means the same use of the same file."""
        head = read_head(self.descriptor)
        return self.path.exists() and head is not None and head.seed == self.head.seed
