"""Compaction: files of a month become fewer that are sorted by series and time, with bounded memory, and rolled up.

Only sorting makes a month of one series quick; merging alone gains nothing. Every file is sorted already, so that a
merge goes through all of them side by side, a slice of the series at a time. Files are merged with others of like size,
so that each reading is rewritten a few times only, however long the city runs: those of one day first, then days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gulou.hub.history.block import WORDS, Block, concat, from_arrow, keys_of
from gulou.hub.history.columns import LAKE_SCHEMA
from gulou.hub.history.kernels import merge_runs
from gulou.hub.history.rollups import UNITS, RollupWriter, Unit
from gulou.hub.history.store_delta import ROW_GROUP, Lake, LakeFile, LakeWriter
from gulou.kernel.errors import Unavailable

_SMALLEST = 64 * 1024
_FACTOR = 8
_DAY_US = UNITS["day"]
_ROW_BYTES = 160  # in memory while merging: read, put together, put in order


class Group(msgspec.Struct, frozen=True):
    """Files of a month written together; their series do not overlap, and they come and go together."""

    name: str
    files: tuple[LakeFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def day(self) -> int | None:
        """The UTC day (since 1970) that all rows are of, or None when they are of several."""
        first = min(file.first_us for file in self.files) // _DAY_US
        return first if all(file.last_us // _DAY_US == first for file in self.files) else None


class Choice(msgspec.Struct, frozen=True):
    """What to merge.

    Args:
        whole: nothing more is expected to join these rows for long: split at entity types, roll up at any size.
    """

    groups: tuple[Group, ...]
    whole: bool


def groups_of(files: Iterable[LakeFile]) -> list[Group]:
    """Return files by what was written together."""
    found: dict[str, list[LakeFile]] = defaultdict(list)
    for file in files:
        found[f"{file.ym}/{file.group}"].append(file)
    return [Group(name, tuple(members)) for name, members in found.items()]


def choose(
    files: Iterable[LakeFile], *, enough: int, max_bytes: int, most: int, quiet_before_ns: int, written_before_ns: int
) -> Choice | None:
    """Return what is worth merging now, or None.

    In a month that nobody has written to since ``quiet_before_ns``, everything becomes one group, unless that would
    rewrite more than eight times what it adds. Otherwise groups of one day, and groups of several days, are merged with
    those of like size.

    Args:
        enough: how many of like size are worth it; when more wait, up to ``most`` are merged in one go.
        max_bytes: larger groups are left alone while their month is written to.
        most: how many files at the same time.
        written_before_ns: files younger than this are left alone.
    """
    months: dict[str, list[Group]] = defaultdict(list)
    young: set[str] = set()
    for group in groups_of(files):
        if group.files[0].written_ns >= written_before_ns:
            young.add(group.files[0].ym)
        else:
            months[group.files[0].ym].append(group)
    for ym, members in sorted(months.items()):
        members.sort(key=lambda group: group.bytes)
        if ym not in young and max(group.files[0].written_ns for group in members) < quiet_before_ns:
            found = _of_quiet_month(members, max_bytes, most)
            if found:
                return found
            continue
        days: dict[int | None, list[Group]] = defaultdict(list)
        for group in members:
            if group.bytes <= max_bytes:
                days[group.day].append(group)
        for _, alike in sorted(days.items(), key=lambda item: -1 if item[0] is None else item[0]):
            bound = _SMALLEST
            while bound <= max_bytes * _FACTOR:
                like = [group for group in alike if group.bytes <= bound]
                if len(like) >= enough:
                    return Choice(tuple(like[:most]), False)
                bound *= _FACTOR
    return None


def _of_quiet_month(members: list[Group], max_bytes: int, most: int) -> Choice | None:
    if len(members) < 2:
        return None
    rest, biggest = members[:-1], members[-1]
    if biggest.bytes > max_bytes and sum(group.bytes for group in rest) * _FACTOR < biggest.bytes:
        return Choice(tuple(rest[:most]), False) if len(rest) > 1 else None
    if len(members) > most:
        return Choice(tuple(members[:most]), False)
    return Choice(tuple(members), True)


class Merged(msgspec.Struct, frozen=True):
    """What a merge made."""

    files: tuple[LakeFile, ...]
    rows: int


def most_files(memory_mb: int) -> int:
    """Return how many files can be merged at the same time."""
    return max(2, memory_mb * 2**20 // (ROW_GROUP * _ROW_BYTES))


def merge(lake: Lake, rollups: dict[Unit, Lake], choice: Choice, units: tuple[Unit, ...], split_bytes: int) -> Merged:
    """Write the readings of groups of one month as one group, with its roll-ups, and put it in their place.

    Roll-ups come before the readings that they belong to and go after them: whatever moment a process dies at, what is
    there of them is either right or not asked.

    Raises:
        Unavailable: ``history.write_failed``: no room on disk. Nothing has changed.
    """
    files = [file for group in choice.groups for file in group.files]
    ym = files[0].ym
    clear = _alone(files, lake.state.files)
    writer = LakeWriter(lake, ym, level=3, split_bytes=split_bytes)
    rolled = RollupWriter(rollups, ym, writer.group, units, whole=choice.whole)
    rows = 0
    try:
        for block in _merged([lake.table_directory / file.path for file in files]):
            if clear:
                block.late.fill(0)
            rows += len(block)
            _write(writer, block, by_type=choice.whole)
            rolled.write(block)
        made, steps = writer.finish(), rolled.finish()
    except (OSError, pa.ArrowException) as error:
        writer.discard()
        rolled.discard()
        raise Unavailable("history.write_failed", path=str(lake.directory), detail=str(error)) from error
    try:
        for unit, found in steps.items():
            rollups[unit].change(found, ())
    except Unavailable:
        writer.discard()
        rolled.discard()
        raise
    lake.change(made, files)
    forget_rollups(rollups, {file.group for file in files})
    return Merged(tuple(made), rows)


def forget_rollups(rollups: dict[Unit, Lake], groups: set[str]) -> None:
    """Take out the roll-ups of readings that were merged."""
    for lake in rollups.values():
        gone = [file for file in lake.state.files if file.group in groups]
        if gone:
            lake.change((), gone)


def _alone(files: Sequence[LakeFile], all_files: Iterable[LakeFile]) -> bool:
    """Say whether no other file has rows of these files' time, so that nothing is left that a late row replaces."""
    mine = {file.path for file in files}
    first, last = min(file.first_us for file in files), max(file.last_us for file in files)
    return not any(f.path not in mine and f.first_us <= last and f.last_us >= first for f in all_files)


def _write(writer: LakeWriter, block: Block, *, by_type: bool) -> None:
    types = block.words["entity_type"]
    if not by_type or types.codes is None:
        writer.write_block(block)
        return
    bounds = np.flatnonzero(types.codes[1:] != types.codes[:-1]) + 1
    edges = [0, *bounds.tolist(), len(block)]
    for place, (start, stop) in enumerate(pairwise(edges)):
        if place:
            writer.end_file()
        writer.write_block(block.cut(start, stop))


class _Reader:
    """One sorted file, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, read_dictionary=list(WORDS), memory_map=False)
        self._next = 0
        self.block: Block | None = None
        self.starts: Any = None
        self.keys: Any = None
        self.more()

    @property
    def done(self) -> bool:
        return bool(self._next >= self._file.num_row_groups)

    def more(self) -> None:
        """Read the next row group behind what is left."""
        block = from_arrow(self._file.read_row_group(self._next, columns=LAKE_SCHEMA.names))
        self._next += 1
        if self.done:
            self._file.close()
        starts = np.concatenate(([0], np.flatnonzero(block.group[1:] != block.group[:-1]) + 1))
        keys = keys_of(block.words, starts)
        if self.block is not None:  # a series may go over from one row group to the next
            known = int(self.keys[-1].as_py() == keys[0].as_py())
            starts = np.concatenate((self.starts, starts[known:] + len(self.block)))
            keys = pa.concat_arrays([self.keys, keys.slice(known)])
            block = concat([self.block, block])
        self.block, self.starts, self.keys = block, starts, keys

    def take(self, runs: int) -> tuple[Block, Any, Any] | None:
        """Take the first series: their rows, where each begins, their keys."""
        if self.block is None or not runs:
            return None
        stop = int(self.starts[runs]) if runs < len(self.starts) else len(self.block)
        taken = self.block.cut(0, stop), self.starts[:runs], self.keys.slice(0, runs)
        if stop == len(self.block):
            self.block, self.starts, self.keys = None, None, None
        else:
            self.block = self.block.cut(stop, len(self.block))
            self.starts, self.keys = self.starts[runs:] - stop, self.keys.slice(runs)
        return taken


def _merged(paths: Sequence[Path]) -> Iterator[Block]:
    """Yield the rows of sorted files in order, all rows of a series in one block; replaced readings are left out."""
    readers = [_Reader(path) for path in paths]
    while readers:
        for reader in readers:
            if reader.block is None or (len(reader.starts) == 1 and not reader.done):
                reader.more()
        last = [reader.keys[-1].as_py() for reader in readers if not reader.done]
        cut = min(last) if last else None
        parts = [part for reader in readers if (part := reader.take(_before(reader.keys, cut))) is not None]
        if parts:
            yield _in_order(parts)
        else:
            for reader in readers:
                if not reader.done and reader.keys[-1].as_py() == cut:
                    reader.more()
        readers = [reader for reader in readers if reader.block is not None or not reader.done]


def _before(keys: Any, cut: str | None) -> int:
    """Return how many sorted keys are before ``cut``."""
    return len(keys) if cut is None else int(pc.sum(pc.less(keys, cut)).as_py() or 0)


def _in_order(parts: list[tuple[Block, Any, Any]]) -> Block:
    blocks = [part[0] for part in parts]
    offsets = np.cumsum([0, *(len(block) for block in blocks)])
    starts = np.concatenate([part[1] + offset for part, offset in zip(parts, offsets, strict=False)])
    lengths = np.diff(np.append(starts, offsets[-1]))
    keys = pa.concat_arrays([part[2] for part in parts])
    order = pc.sort_indices(keys).to_numpy().astype(np.int64)
    ordered = keys.take(pa.array(order))
    change = np.zeros(len(order), np.int64)
    change[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    block = concat(blocks)
    rows, group = np.empty(len(block), np.int64), np.empty(len(block), np.int64)
    kept = merge_runs(
        starts[order], lengths[order], np.cumsum(change), block.at_us, block.sequence, block.late, rows, group
    )
    return block.take(rows[:kept], group[:kept])
