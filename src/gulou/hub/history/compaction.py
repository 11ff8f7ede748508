"""Compaction: files of a month become fewer that are sorted by series and time, with bounded memory, and rolled up.

Only sorting makes a month of one series quick; merging alone gains nothing. Every file is sorted already, so that a
merge goes through all of them side by side, a slice of the series at a time. Files are merged with others of like size,
so that each reading is rewritten a few times only, however long the city runs: those of one day first, then days.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gulou.hub.history.block import SERIES, WORDS, Block, Coded, concat, join_key, read_block, words_at
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


class Abandoned(Exception):  # nothing is wrong
    """A merge was given up, because there is no time to end it; nothing has changed."""


class Merged(msgspec.Struct, frozen=True):
    """What a merge made."""

    files: tuple[LakeFile, ...]
    rows: int


def most_files(memory_mb: int) -> int:
    """Return how many files can be merged at the same time."""
    return max(2, memory_mb * 2**20 // (ROW_GROUP * _ROW_BYTES))


def merge(
    lake: Lake,
    rollups: dict[Unit, Lake],
    choice: Choice,
    units: tuple[Unit, ...],
    split_bytes: int,
    rest: Callable[[float], object] = lambda _worked_s: None,
) -> Merged:
    """Write the readings of groups of one month as one group, with its roll-ups, and put it in their place.

    Roll-ups come before the readings that they belong to and go after them: whatever moment a process dies at, what is
    there of them is either right or not asked.

    Args:
        rest: called between slices with the seconds that the last one has taken; may wait, or raise Abandoned.

    Raises:
        Abandoned: by ``rest``.
        Unavailable: ``history.write_failed``: no room on disk. Nothing has changed.
    """
    files = [file for group in choice.groups for file in group.files]
    ym = files[0].ym
    clear = _alone(files, lake.state.files)
    writer = LakeWriter(lake, ym, level=3, split_bytes=split_bytes)
    rolled = RollupWriter(rollups, ym, writer.group, units, whole=choice.whole)
    rows = 0
    begun_s = time.monotonic()
    try:
        try:
            for block in _merged([lake.table_directory / file.path for file in files]):
                if clear:
                    block.late.fill(0)
                rows += len(block)
                _write(writer, block, by_type=choice.whole)
                rolled.write(block)
                rest(time.monotonic() - begun_s)
                begun_s = time.monotonic()
            made, steps = writer.finish(), rolled.finish()
        except (OSError, pa.ArrowException) as error:
            raise Unavailable("history.write_failed", path=str(lake.directory), detail=str(error)) from error
        for unit, found in steps.items():
            rollups[unit].change(found, ())
    except (Abandoned, Unavailable):
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


class _Part(msgspec.Struct, frozen=True, eq=False):
    """Rows of some whole series of one file.

    Args:
        starts: where each series begins.
        keys: a text for each series that sorts as it does.
        names: its entity type, property, entity id and dataset id.
    """

    block: Block
    starts: Any
    keys: Any
    names: tuple[Any, ...]

    def cut(self, first: int, last: int) -> _Part | None:
        """Return the series from ``first`` up to ``last``, exclusive."""
        if last <= first:
            return None
        start = int(self.starts[first])
        stop = int(self.starts[last]) if last < len(self.starts) else len(self.block)
        return _Part(
            self.block.cut(start, stop),
            self.starts[first:last] - start,
            self.keys.slice(first, last - first),
            tuple(one.slice(first, last - first) for one in self.names),
        )


class _Reader:
    """One sorted file, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, read_dictionary=list(WORDS))
        self._next = 0
        self.parts: list[_Part] = []

    @property
    def done(self) -> bool:
        """Whether all of the file is in ``parts``, or was."""
        return bool(self._next >= self._file.num_row_groups)

    def ready(self) -> str:
        """Read until there are two series at least, or the end; return the key of the last."""
        while not self.parts or (not self.done and self.parts[-1].keys[-1].as_py() == self.parts[0].keys[0].as_py()):
            block = read_block(self._file, self._next)
            self._next += 1
            starts = np.concatenate(([0], np.flatnonzero(block.group[1:] != block.group[:-1]) + 1))
            names = tuple(words_at(block.words[name], starts) for name in SERIES)
            self.parts.append(_Part(block, starts, join_key(*names), names))
        if self.done:
            self._file.close()
        key: str = self.parts[-1].keys[-1].as_py()
        return key

    def take(self, before: str | None) -> list[_Part]:
        """Take the series before a key; all, without one. What is of one series may be in two parts."""
        taken, left = [], []
        for part in self.parts:
            count = len(part.keys) if before is None else int(pc.sum(pc.less(part.keys, before)).as_py() or 0)
            taken.append(part.cut(0, count))
            left.append(part.cut(count, len(part.starts)))
        self.parts = [part for part in left if part is not None]
        return [part for part in taken if part is not None]


def _merged(paths: Sequence[Path]) -> Iterator[Block]:
    """Yield the rows of sorted files in order, all rows of a series in one block; replaced readings are left out."""
    readers = [_Reader(path) for path in paths]
    while readers:
        last = [(reader.ready(), reader.done) for reader in readers]
        cut = min((key for key, done in last if not done), default=None)
        parts = [part for reader in readers for part in reader.take(cut)]
        if parts:
            yield _in_order(parts)
        readers = [reader for reader in readers if reader.parts or not reader.done]


def _in_order(parts: list[_Part]) -> Block:
    blocks = [part.block for part in parts]
    offsets = np.cumsum([0, *(len(block) for block in blocks)])
    starts = np.concatenate([part.starts + offset for part, offset in zip(parts, offsets, strict=False)])
    lengths = np.diff(np.append(starts, offsets[-1]))
    keys = pa.concat_arrays([part.keys for part in parts])
    order = pc.sort_indices(keys).to_numpy().astype(np.int64)
    ordered = keys.take(pa.array(order))
    change = np.ones(len(order), np.int64)
    change[1:] = pc.not_equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    groups = np.cumsum(change) - 1
    rows, group = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.int64)
    whole = [name for name in WORDS if name not in SERIES and not _by_run(parts, name)]
    block = concat(blocks, whole)
    kept = merge_runs(starts[order], lengths[order], groups, block.at_us, block.sequence, block.late, rows, group)
    taken = block.take(rows[:kept], group[:kept])
    runs = _Runs(pa.array(order), pa.array(order[change == 1]), pa.array(groups), group[:kept].astype(np.int32))
    texts = {name: [part.names[place] for part in parts] for place, name in enumerate(SERIES)}
    words = {}
    for name in WORDS:
        found = None
        if name not in whole:
            held = texts.get(name) or [words_at(part.block.words[name], part.starts) for part in parts]
            found = runs.words(held)
        if found is None:
            found = (taken if name in whole else concat(blocks, [name]).take(rows[:kept], group[:kept])).words[name]
        words[name] = found
    return replace(taken, words=words)


class _Runs:
    """Runs of rows put in order: turns one text a run into a column."""

    def __init__(self, order: Any, firsts: Any, groups: Any, rows: Any) -> None:
        self._order, self._firsts, self._groups, self._rows = order, firsts, groups, rows

    def words(self, found: list[Any]) -> Coded | None:
        """Return the column, or None where runs of one series differ."""
        texts = pa.concat_arrays(found)
        firsts = texts.take(self._firsts)
        distinct = firsts.unique()
        if len(distinct) == 1 and len(texts.unique()) == 1:
            return Coded(None, distinct.drop_null())
        if len(firsts) < len(texts):
            mine, first = texts.take(self._order), firsts.take(self._groups)
            same = pc.or_kleene(pc.equal(mine, first), pc.and_(pc.is_null(mine), pc.is_null(first)))
            if not pc.all(same.fill_null(False)).as_py():
                return None
        return Coded(self._rows, firsts)


def _by_run(parts: list[_Part], name: str) -> bool:
    """Say whether a column is the same in all rows of each series of each part."""
    for part in parts:
        codes = part.block.words[name].codes
        if codes is not None:
            changes = np.flatnonzero(codes[1:] != codes[:-1]) + 1
            if not np.isin(changes, part.starts, assume_unique=True).all():
                return False
    return True
