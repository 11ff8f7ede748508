"""Reads bodies into parts: columns for the numbers of known series, objects for all else, in the body's order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, Intake, Payload, Reading
from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.http.columns.arrow import Shape, Slice, read_batches, slices, walk_texts
from gulou.sensing.adapters.http.columns.line import MOST_FIELDS, NO_TIME, read_lines
from gulou.sensing.adapters.http.columns.parts import GOOD, NEW, Chunk, Part, cut_chunk
from gulou.sensing.adapters.http.columns.routes import Routes
from gulou.sensing.adapters.http.columns.rows import read_json_items
from gulou.sensing.adapters.http.columns.trie import DEVICE, ROOT, ROUTE, UNKNOWN, Trie
from gulou.sensing.sdk import DeviceDirectory, Program
from gulou.sensing.sdk.formats import looks_like_senml, read_json
from gulou.vocabulary import Vocabulary

ROWS = 8_192
"""Readings of one turn of a kernel; the lock is held for about two milliseconds."""


class Way(NamedTuple):
    """How one item of a body is read where it does not go into columns.

    Args:
        general: the item's payload, from its bytes.
        raw: the same without readings.
        learn: makes names known that the item has; True when there was something to learn.
    """

    general: Callable[[bytes], Payload]
    raw: Callable[[bytes], Payload]
    learn: Callable[[bytes], bool]


class TableWay(NamedTuple):
    """The same for the rows of a table."""

    general: Callable[[Slice, int], Payload]
    raw: Callable[[Slice, int], Payload]
    learn: Callable[[Slice, int], bool]


class Turned(NamedTuple):
    """What one turn of a kernel found: rows, the item of each; of each item whether it is odd, and its bytes."""

    columns: Columns
    item: NDArray[np.int32]
    odd: NDArray[np.bool_]
    spans: NDArray[np.int64]


class Results:
    """Room for what a kernel finds in one turn."""

    def __init__(self) -> None:
        self.counts = np.zeros(3, np.int64)
        self.node = np.zeros(ROWS + MOST_FIELDS, np.int64)
        self.observed_at_us = np.zeros(ROWS + MOST_FIELDS, np.int64)
        self.value = np.zeros(ROWS + MOST_FIELDS, np.float64)
        self.item = np.zeros(ROWS + MOST_FIELDS, np.int32)
        self.spans = np.zeros((ROWS, 2), np.int64)
        self.states = np.zeros(ROWS, np.uint8)

    def begin(self, last: int) -> None:
        """Start anew behind a node."""
        self.counts[:] = (0, 0, last)


class Known:
    """What all requests share: the names, their routes, and the lock around both.

    The lock is held while a kernel runs, some milliseconds at most.
    """

    def __init__(self, intake: Intake, devices: DeviceDirectory, vocabulary: Vocabulary) -> None:
        self.lock = threading.Lock()
        self.trie = Trie()
        self.routes = Routes(intake.series, vocabulary)
        self._devices = devices
        self._device_nodes: dict[str, tuple[object, int]] = {}
        self._issued = 0
        self.last: dict[tuple[str, int], int] = {}

    def refresh(self) -> None:
        """Forget everything if the vocabulary has changed, or names have become too many. With the lock held."""
        if self.routes.is_stale or self.trie.is_full:
            self.trie.clear()
            self.routes.clear()
            self._device_nodes.clear()
            self.last.clear()

    def device_node(self, device_id: str) -> int:
        """Return the node of a device as it is registered now; another one after each change. With the lock held."""
        device = self._devices.find_device(device_id)
        bindings = None if device is None else device.bindings
        known = self._device_nodes.get(device_id)
        if known is not None and known[0] is bindings:
            return known[1]
        self._issued += 1
        node = self.trie.add(ROOT, DEVICE, f"{device_id}\0{self._issued}".encode())
        self._device_nodes[device_id] = (bindings, node)
        return node

    def add(self, path: list[tuple[int, bytes]], device: int, reading: Reading, program: Program | None) -> bool:
        """Make a path of (kind, name) lead to the route of a reading. With the lock held.

        Returns:
            False where it may not be known: see ``Routes.route_of``.
        """
        route = self.routes.route_of(reading, program)
        if route is None:
            return False
        node = device
        for kind, name in path:
            node = self.trie.add(node, kind, name)
        self.trie.set_route(node, route)
        return True

    def chunk(self, results: Results) -> Chunk:
        """Copy what a kernel found, nodes replaced by their routes. With the lock held."""
        rows, items = int(results.counts[0]), int(results.counts[1])
        return Chunk(
            self.trie.nodes[results.node[:rows], ROUTE],
            results.observed_at_us[:rows].copy(),
            results.value[:rows].copy(),
            results.item[:rows].copy(),
            results.states[:items].copy(),
        )

    def settle(self, chunk: Chunk, program: Program | None) -> tuple[Columns, NDArray[np.int32], NDArray[np.bool_]]:
        """Convert a chunk's good items. With the lock held.

        Returns:
            Their columns, the item of each row, and which items of the chunk go the general way.
        """
        routes, route = self.routes, chunk.route
        odd = chunk.state != 0
        wrong = route < 0
        sound = np.where(wrong, 0, route)
        if program is not None:
            wrong |= self._denied(program, sound)
        value = chunk.value
        converted = routes.converted[sound]
        if converted.any():
            rows = np.flatnonzero(converted)
            to = sound[rows]
            value = value.copy()
            with np.errstate(over="ignore", invalid="ignore"):
                value[rows] = value[rows] * routes.factor[to] + routes.offset[to]
        wrong |= ~np.isfinite(value)
        item = chunk.item
        if wrong.any() or odd.any():
            odd[item[wrong]] = True
            kept = ~odd[item]
            return (
                Columns(routes.series[route[kept]], chunk.observed_at_us[kept], value[kept]),
                item[kept],
                odd,
            )
        return Columns(routes.series[route], chunk.observed_at_us, value), item, odd

    def _denied(self, program: Program, route: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell which readings are of types that the program may not write."""
        types = self.routes.types
        if not types:
            return np.ones(len(route), np.bool_)
        kind = self.routes.kind[route]
        met = np.flatnonzero(np.bincount(kind, minlength=len(types)))
        refused = [index for index in met.tolist() if not program.may("intake.write", None, types[index])]
        return np.isin(kind, refused) if refused else np.zeros(len(route), np.bool_)


class ColumnReader:
    """Reads lines into parts. Any thread; several at once.

    Args:
        intake: numbers the series.
    """

    def __init__(self, intake: Intake, devices: DeviceDirectory, vocabulary: Vocabulary) -> None:
        self.known = Known(intake, devices, vocabulary)

    def lines(
        self,
        body: bytes,
        way: Way,
        *,
        unit_ns: int,
        default_us: int | None,
        device_id: str | None,
        program: Program | None,
    ) -> Iterator[Part]:
        """Read line protocol.

        Args:
            unit_ns: of the times.
            default_us: time of lines without one; None: they go the general way, which says that it is missing.
        """
        data = np.frombuffer(body, np.uint8)
        quotes = b'"' in body
        results = Results()
        timeless = NO_TIME if default_us is None else default_us

        def turn(begin: int, device: int, last: int) -> int:
            results.begin(last)
            return int(
                read_lines(
                    data,
                    begin,
                    len(data),
                    quotes,
                    unit_ns,
                    timeless,
                    device,
                    *self.known.trie.arrays,
                    results.counts,
                    results.node,
                    results.observed_at_us,
                    results.value,
                    results.item,
                    results.spans,
                    results.states,
                )
            )

        for begun, turned in self._turns("line", len(body), body, way, turn, results, device_id, program):
            yield from self._cut(body, way, begun, turned)

    def rows(
        self,
        body: bytes,
        way: Way,
        *,
        listed: bool,
        now_us: int,
        device_id: str | None,
        program: Program | None,
    ) -> Iterator[Part] | None:
        """Read NDJSON, or a JSON list; of rows (a program) or of objects of channel values (a device).

        Returns:
            None for a list that is not sound JSON, or that may be a SenML pack: all of it goes the general way then.
        """
        data = np.frombuffer(body, np.uint8)
        results = Results()

        def turn(begin: int, device: int, last: int) -> int:
            results.begin(last)
            return int(
                read_json_items(
                    data,
                    begin,
                    len(data),
                    listed,
                    now_us,
                    device,
                    *self.known.trie.arrays,
                    results.counts,
                    results.node,
                    results.observed_at_us,
                    results.value,
                    results.item,
                    results.spans,
                    results.states,
                )
            )

        turns = self._turns("rows", len(body), body, way, turn, results, device_id, program)
        if not listed:
            return (part for begun, turned in turns for part in self._cut(body, way, begun, turned))
        # Nothing of a list may be taken before its end has been seen.
        whole: list[tuple[int, Turned]] = []
        for begun, turned in turns:
            if turned is None or not _is_sound(body, turned):
                return None
            whole.append((begun, turned))
        if whole and device_id is not None and whole[0][1].odd[:8].any() and _is_senml(body, whole[0][1]):
            return None
        return (part for begun, turned in whole for part in self._cut(body, way, begun, turned))

    def tables(
        self,
        body: bytes,
        limit: int,
        way: TableWay,
        *,
        now_us: int,
        device_id: str | None,
        program: Program | None,
    ) -> Iterator[Part]:
        """Read an Arrow stream or file.

        Args:
            limit: most bytes of its buffers, decompressed.
            now_us: the time of a device's rows that have none.

        Raises:
            Invalid: ``payload.malformed`` and others of ``payload``: it is no such table; ``http.body_too_large``.
                Nothing of it is taken then.
        """
        schema, batches = read_batches(body, limit)
        shape = Shape(schema, of_device=device_id is not None)
        return self._table_parts(batches, shape, way, now_us, device_id, program)

    def _table_parts(
        self,
        batches: list[pa.RecordBatch],
        shape: Shape,
        way: TableWay,
        now_us: int,
        device_id: str | None,
        program: Program | None,
    ) -> Iterator[Part]:
        reached = 0
        for batch in batches:
            for table in slices(batch, shape, now_us):
                with self.known.lock:
                    turned = self._walk(table, way, device_id, program)
                yield from cut_chunk(
                    turned.columns,
                    turned.item,
                    turned.odd,
                    partial(way.general, table),
                    partial(way.raw, table),
                    reached,
                )
                reached += len(turned.odd)

    def _walk(self, table: Slice, way: TableWay, device_id: str | None, program: Program | None) -> Turned:
        """Find the routes of a slice's readings, learning what is new. With the lock held."""
        known = self.known
        count = len(table.item)
        node = np.zeros(count, np.int64)
        states = np.zeros(count, np.uint8)
        for again in (False, True):
            known.refresh()
            device = ROOT if device_id is None else known.device_node(device_id)
            table.texts.begin(known.trie.generation, again=again)
            last = walk_texts(
                table.texts.data,
                table.texts.begins,
                table.texts.ends,
                table.index,
                device,
                *known.trie.arrays,
                table.texts.roots,
                known.last.get(("table", device), UNKNOWN),
                node,
                states,
            )
            known.last["table", device] = int(last)
            new = np.unique(table.item[states == NEW])
            if again or not len(new):
                break
            learnt = [way.learn(table, row) for row in new.tolist()]
            if not any(learnt):
                break
        odd = table.odd.copy()
        odd[table.item[states != GOOD]] = True
        good = states == GOOD
        route = np.where(good, known.trie.nodes[np.where(good, node, 0), ROUTE], UNKNOWN).astype(np.int32)
        chunk = Chunk(route, table.observed_at_us, table.value, table.item, odd.astype(np.uint8))
        columns, item, odd = known.settle(chunk, program)
        return Turned(columns, item, odd, np.zeros((0, 2), np.int64))

    def _cut(self, body: bytes, way: Way, reached: int, turned: Turned | None) -> Iterator[Part]:
        if turned is not None and len(turned.odd):
            yield from cut_chunk(
                turned.columns,
                turned.item,
                turned.odd,
                _reader(body, turned.spans, way.general),
                _reader(body, turned.spans, way.raw),
                reached,
            )

    def _turns(
        self,
        form: str,
        limit: int,
        body: bytes,
        way: Way,
        turn: Callable[[int, int, int], int],
        results: Results,
        device_id: str | None,
        program: Program | None,
    ) -> Iterator[tuple[int, Turned | None]]:
        """Let a kernel take one turn after the other; where it met new names, they are learnt and it goes again.

        Yields:
            (items of the turns before, what this one found), or (…, None) where the kernel gave up.
        """
        known = self.known
        begin = reached = 0
        while begin < limit:
            turned = None
            with known.lock:
                end, device = self._turn(form, body, way, turn, results, device_id, begin)
                if end >= 0:
                    known.last[form, device] = int(results.counts[2])
                    columns, item, odd = known.settle(known.chunk(results), program)
                    turned = Turned(columns, item, odd, results.spans[: len(odd)].copy())
            yield reached, turned
            if turned is None:
                return
            reached += len(turned.odd)
            begin = end

    def _turn(
        self,
        form: str,
        body: bytes,
        way: Way,
        turn: Callable[[int, int, int], int],
        results: Results,
        device_id: str | None,
        begin: int,
    ) -> tuple[int, int]:
        """Take one turn, and once more if there was something to learn; return where it ended, and the device."""
        known = self.known
        for again in (False, True):
            known.refresh()
            device = ROOT if device_id is None else known.device_node(device_id)
            end = turn(begin, device, known.last.get((form, device), UNKNOWN))
            new = np.flatnonzero(results.states[: int(results.counts[1])] == NEW)
            if again or end < 0 or not len(new):
                break
            learnt = [way.learn(body[int(a) : int(b)]) for a, b in results.spans[new].tolist()]
            if not any(learnt):
                break
        return end, device


def _is_senml(body: bytes, turned: Turned) -> bool:
    """Tell, by the first eight items, whether a list is a SenML pack, or cannot even be asked."""
    try:
        return looks_like_senml([read_json(body[begin:end]) for begin, end in turned.spans[:8].tolist()])
    except Invalid:
        return True


def _is_sound(body: bytes, turned: Turned) -> bool:
    """Tell whether the odd items of a list are JSON; of the good ones the kernel has seen to it."""
    for begin, end in turned.spans[np.flatnonzero(turned.odd)].tolist():
        try:
            msgspec.json.decode(body[begin:end], type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
    return True


def _reader(body: bytes, spans: NDArray[np.int64], read: Callable[[bytes], Payload]) -> Callable[[int], Payload]:
    return lambda index: read(body[int(spans[index, 0]) : int(spans[index, 1])])
