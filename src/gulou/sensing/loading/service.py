"""The server's side of ``gulou load``: chunks of a file's rows, each row exactly once, however often a chunk comes."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec
import xxhash

from gulou.connectivity.intake import Flaw, Intake, OriginAccount, Payload, Reading, Receipt, Submission
from gulou.kernel.clock import Clock, to_rfc3339
from gulou.kernel.errors import Conflict, Invalid, Unavailable
from gulou.sensing.sdk import Mapping, MappingRegistry, ReadContext

ADAPTER = "load/1"
MAX_CHUNK_BYTES = 16_777_216
MAX_CHUNK_ROWS = 50_000
_READINGS_AT_ONCE = 20_000
_KEPT_ROWS = 1_000_000
_KEPT_ORIGINS = 4
_PATIENCE_S = 20.0
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0
_ORIGIN = re.compile(r"[\x21-\x7e]{1,256}")
_UNSPLIT = frozenset(("payload.cell_count", "payload.not_text", "payload.malformed"))


class OriginBook(Protocol):
    """The part of the ledger that knows how far a file has come."""

    def origin(self, origin: str) -> OriginAccount | None:
        """Return an origin's position and account, or None."""


class LoadService:
    """Takes rows of files by a mapping. Safe from any thread; chunks of one origin are taken one after another.

    Args:
        patience_s: how long it waits itself when the intake is full, before it tells the sender to.
    """

    def __init__(
        self,
        intake: Intake,
        mappings: MappingRegistry,
        ledger: OriginBook,
        clock: Clock,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._intake = intake
        self._mappings = mappings
        self._ledger = ledger
        self._clock = clock
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._origins: OrderedDict[str, _Origin] = OrderedDict()

    def take(
        self, mapping: str, *, origin: str, position: int, rows: bytes, file_name: str = "", first_row: int = 1
    ) -> Receipt:
        """Take the rows ``first_row`` to ``position`` of a file; returns when they are durable.

        A chunk that was taken already is answered with ``repeated``; of one that overlaps, only the rest is taken.

        Args:
            origin: names the file: its digest.
            position: number of the chunk's last row, counted from 1.
            rows: NDJSON, one record a line, as ``read_chunks`` makes it.
            file_name: for the address of rejects, ``file.csv.gz:1024``.

        Raises:
            NotFound: ``mapping.unknown``.
            Invalid: ``load.origin_malformed``, ``load.rows_miscounted``, ``load.mapping_not_rows``, ``load.too_large``.
            Conflict: ``load.gap``: rows before this chunk are missing.
            Unavailable: the intake is full or its disk is.
        """
        used = self._mappings.get(mapping)
        lines = _check(used, origin, position, rows, first_row)
        name = origin_name(mapping, origin)
        held = self._origin(name)
        with held.lock:
            known = self._intake.position_of(name)
            if position <= known:
                return Receipt(0, 0, 0, 0, repeated=True)
            if first_row > known + 1:
                raise Conflict("load.gap", origin=origin, expected=known + 1, first_row=first_row)
            left = [(first_row + index, line) for index, line in enumerate(lines) if first_row + index > known]
            return self._take_rows(used, name, held, left, file_name or origin[:16])

    def origin(self, mapping: str, origin: str) -> OriginAccount | None:
        """Return how far a file has come with a mapping, and its account; None if it never came."""
        return self._ledger.origin(origin_name(mapping, origin))

    def _origin(self, name: str) -> _Origin:
        with self._guard:
            held = self._origins.setdefault(name, _Origin())
            self._origins.move_to_end(name)
            while len(self._origins) > _KEPT_ORIGINS:
                self._origins.popitem(last=False)
            return held

    def _take_rows(
        self, mapping: Mapping, name: str, held: _Origin, rows: list[tuple[int, bytes]], file_name: str
    ) -> Receipt:
        receipts: list[Receipt] = []
        for group, last_row, hashes in self._groups(mapping, held, rows, file_name):
            submission = Submission(f"load:{mapping.name}", ADAPTER, group, mapping.name, name, last_row)
            receipts.append(self._submit(submission))
            held.remember(hashes)
        return Receipt(
            sequence=max((receipt.sequence for receipt in receipts), default=0),
            received=sum(receipt.received for receipt in receipts),
            stored=sum(receipt.stored for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
        )

    def _groups(
        self, mapping: Mapping, held: _Origin, rows: list[tuple[int, bytes]], file_name: str
    ) -> Iterator[tuple[tuple[Payload, ...], int, set[int]]]:
        """Yield submissions' payloads, the last row of each, and the hashes of its rows."""
        now_us = self._clock.now_us()
        payloads: list[Payload] = []
        hashes: set[int] = set()
        size = last_row = 0
        for row, line in rows:
            payload = _read(mapping, line, f"{file_name}:{row}", ReadContext(now_us, row=row - 1))
            if not mapping.counts_time:
                digest = xxhash.xxh3_64_intdigest(line)
                if digest in held.seen or digest in hashes:
                    payload = _as_duplicate(payload)
                hashes.add(digest)
            payloads.append(payload)
            size += len(payload.readings) + len(payload.flaws)
            last_row = row
            if size >= _READINGS_AT_ONCE:
                yield tuple(payloads), last_row, hashes
                payloads, hashes, size = [], set(), 0
        if payloads:
            yield tuple(payloads), last_row, hashes

    def _submit(self, submission: Submission) -> Receipt:
        wait_s = _FIRST_WAIT_S
        deadline_s = time.monotonic() + self._patience_s
        while True:
            try:
                return self._intake.submit(submission).result()
            except Unavailable as error:
                if error.code != "intake.full" or time.monotonic() + wait_s > deadline_s:
                    raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


class _Origin:
    """What is remembered of one file while it is being loaded."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: set[int] = set()

    def remember(self, hashes: set[int]) -> None:
        """Keep the hashes of rows that are durable now; beyond the bound, later doubles are the intake's to find."""
        if len(self.seen) < _KEPT_ROWS:
            self.seen |= hashes


def origin_name(mapping: str, origin: str) -> str:
    """Return the intake's name for a file that is loaded by a mapping."""
    return f"load:{mapping}:{origin}"


def _check(mapping: Mapping, origin: str, position: int, rows: bytes, first_row: int) -> list[bytes]:
    if mapping.format != "rows":
        raise Invalid("load.mapping_not_rows", mapping=mapping.name, format=mapping.format)
    if _ORIGIN.fullmatch(origin) is None:
        raise Invalid("load.origin_malformed", origin=origin[:80])
    if len(rows) > MAX_CHUNK_BYTES:
        raise Invalid("load.too_large", limit=MAX_CHUNK_BYTES, unit="bytes")
    lines = [line for line in rows.split(b"\n") if line.strip()]
    if len(lines) > MAX_CHUNK_ROWS:
        raise Invalid("load.too_large", limit=MAX_CHUNK_ROWS, unit="rows")
    if first_row < 1 or len(lines) != position - first_row + 1:
        raise Invalid("load.rows_miscounted", rows=len(lines), first_row=first_row, position=position)
    return lines


def _read(mapping: Mapping, line: bytes, address: str, context: ReadContext) -> Payload:
    try:
        record: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        flaw = Flaw("payload.malformed", {"format": "json", "detail": str(error)[:200]})
        return Payload(line[:65_536], address, (), (flaw,))
    if isinstance(record, list) and len(record) == 3 and record[0] in _UNSPLIT:
        code, params, text = record
        return Payload(str(text).encode()[:65_536], address, (), (Flaw(code, params),))
    return mapping.read_row(record, line, address, context)


def _as_duplicate(payload: Payload) -> Payload:
    flaws = tuple(_duplicate(reading) for reading in payload.readings)
    return msgspec.structs.replace(payload, readings=(), flaws=payload.flaws + flaws)


def _duplicate(reading: Reading) -> Flaw:
    params = {
        "entity_id": reading.entity_id,
        "property": reading.property,
        "observed_at": _shown(reading.observed_at_us),
        "value": str(reading.value)[:64],
    }
    return Flaw("reading.duplicate", params, f"{reading.entity_id} {reading.property}")


def _shown(at_us: int) -> str:
    try:
        return to_rfc3339(at_us)
    except OverflowError:  # a year beyond 9999; the intake refuses it by its own reason
        return f"{at_us} µs"


def total(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Sum receipts up for a report: received, stored, rejected; nothing of a load is ever dropped."""
    return {
        "received": sum(receipt.received for receipt in receipts),
        "stored": sum(receipt.stored for receipt in receipts),
        "rejected": sum(receipt.rejected for receipt in receipts),
        "dropped": 0,
    }
