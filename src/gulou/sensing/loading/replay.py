"""Reading rejects again, after a mapping was mended or a device registered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from gulou.connectivity.intake import (
    Flaw,
    Intake,
    Reading,
    Receipt,
    Rejected,
    RejectPage,
    RejectQuery,
    Submission,
)
from gulou.kernel.errors import Invalid
from gulou.sensing.sdk import (
    Content,
    DeviceDirectory,
    DeviceFormat,
    Mapping,
    MappingRegistry,
    ReadContext,
    payload_of,
    read_row,
)
from gulou.sensing.sdk.formats import read_json
from gulou.sensing.sdk.mapping import Item

MAX_REJECTS = 10_000


class RejectSource(Protocol):
    """Where rejects are kept."""

    def get_rejected(self, reject_id: str) -> Rejected:
        """Raises NotFound ``intake.reject_unknown``."""

    def list_rejected(self, query: RejectQuery) -> RejectPage: ...


class ReplayResult(msgspec.Struct, frozen=True):
    """What became of replayed rejects; counts are readings."""

    replayed: int
    received: int
    stored: int
    rejected: int


class RejectReplayer:
    """Reads rejects again by the mapping they came by, or another one. What is wrong again is rejected again.

    The outcome goes to the account ``replay:<source>``; only the part of a payload that was refused is read, so that
    what was stored at once is not doubled.
    """

    def __init__(
        self, rejects: RejectSource, mappings: MappingRegistry, intake: Intake, devices: DeviceDirectory
    ) -> None:
        self._rejects = rejects
        self._mappings = mappings
        self._intake = intake
        self._devices = devices
        self._format = DeviceFormat(devices)

    def replay(self, reject_ids: Iterable[str], mapping: str | None = None) -> ReplayResult:
        """Read rejects again, by id; returns when the outcome is durable.

        Args:
            mapping: use this one instead of the one each came by.

        Raises:
            NotFound: ``intake.reject_unknown``, ``mapping.unknown``.
            Invalid: ``replay.too_many``.
            Unavailable: the intake takes nothing now; some of them may be done already.
        """
        ids = list(dict.fromkeys(reject_ids))
        if len(ids) > MAX_REJECTS:
            raise Invalid("replay.too_many", count=len(ids), limit=MAX_REJECTS)
        return self._replay([self._rejects.get_rejected(one) for one in ids], mapping)

    def replay_matching(self, query: RejectQuery, mapping: str | None = None, limit: int = MAX_REJECTS) -> ReplayResult:
        """Read the rejects again that fit a query and were not read again before; at most ``limit`` of them."""
        found: list[Rejected] = []
        wanted = msgspec.structs.replace(query, replayed=False, cursor=None, limit=min(limit, 500))
        while len(found) < limit:
            page = self._rejects.list_rejected(wanted)
            found += page.items
            if page.next is None:
                break
            wanted = msgspec.structs.replace(wanted, cursor=page.next)
        return self._replay(found[:limit], mapping)

    def _replay(self, rejects: list[Rejected], mapping: str | None) -> ReplayResult:
        override = self._mappings.get(mapping) if mapping is not None else None
        receipts = [self._submit(group, override) for group in _groups(rejects)]
        return ReplayResult(
            replayed=len(rejects),
            received=sum(receipt.received for receipt in receipts),
            stored=sum(receipt.stored for receipt in receipts),
            rejected=sum(receipt.rejected for receipt in receipts),
        )

    def _submit(self, group: list[Rejected], override: Mapping | None) -> Receipt:
        first = group[0]
        payloads = []
        for parts in _by_payload(group):
            one = parts[0]
            items = _refused_part(self._read(one, override), [part.where for part in parts])
            payloads.append(payload_of(items, one.raw, one.address, one.device_id))
        submission = Submission(
            source=f"replay:{first.source.removeprefix('replay:')}",
            adapter=first.adapter,
            payloads=tuple(payloads),
            mapping=override.name if override is not None else first.mapping,
            replay_of=tuple(one.id for one in group),
        )
        return self._intake.submit(submission).result()

    def _read(self, rejected: Rejected, override: Mapping | None) -> list[Item]:
        """Read a payload as it would be read now, had it come when it came."""
        mapping, captures = self._mapping_of(rejected, override)
        if mapping is not None:
            context = ReadContext(rejected.received_at_us, rejected.device_id, captures, _row_of(rejected))
            return mapping.read_items(rejected.raw, context)
        if rejected.device_id is not None:
            content = _content_of(rejected.raw)
            return self._format.read_items(rejected.device_id, rejected.raw, rejected.received_at_us, content)
        try:
            return [read_row(read_json(rejected.raw))]
        except Invalid as error:
            return [("", Flaw(error.code, error.params))]

    def _mapping_of(self, rejected: Rejected, override: Mapping | None) -> tuple[Mapping | None, dict[str, str]]:
        by_topic = self._mappings.find_topic(rejected.address)
        captures = by_topic[1] if by_topic is not None else {}
        if override is not None:
            return override, captures
        if rejected.mapping is not None:
            return self._mappings.get(rejected.mapping), captures
        if by_topic is not None:
            return by_topic
        device = self._devices.find_device(rejected.device_id) if rejected.device_id is not None else None
        if device is not None and device.mapping is not None:
            return self._mappings.get(device.mapping), {}
        return None, {}


def _groups(rejects: list[Rejected]) -> list[list[Rejected]]:
    """Put together what goes in one submission: one source, adapter and mapping."""
    groups: dict[tuple[str, str, str | None], list[Rejected]] = {}
    for one in rejects:
        groups.setdefault((one.source, one.adapter, one.mapping), []).append(one)
    return list(groups.values())


def _by_payload(group: list[Rejected]) -> list[list[Rejected]]:
    """Put together the rejects of one payload, so that it is read once."""
    payloads: dict[tuple[bytes, str, str | None, int], list[Rejected]] = {}
    for one in group:
        payloads.setdefault((one.raw, one.address, one.device_id, one.received_at_us), []).append(one)
    return list(payloads.values())


def _refused_part(items: list[Item], places: list[str]) -> list[Item]:
    """Return the items at the places that were refused; all of them when the places are no longer to be found."""
    found = [item for item in items if any(_is_at(item, place) for place in places)]
    return found or items


def _is_at(item: Item, place: str) -> bool:
    where, made = item
    if place in ("", where) or where.startswith(f"{place}."):
        return True
    return isinstance(made, Reading) and place == f"{made.entity_id} {made.property}"


def _row_of(rejected: Rejected) -> int:
    """Return the number of the row, from 0, out of an address like ``file.csv:1024``."""
    number = rejected.address.rpartition(":")[2]
    return int(number) - 1 if rejected.source.removeprefix("replay:").startswith("load:") and number.isdecimal() else 0


def _content_of(raw: bytes) -> Content:
    """Tell the native formats apart by their first byte: JSON, a CBOR array, else line protocol."""
    first = raw.lstrip()[:1]
    if first in (b"{", b"["):
        return "json"
    return "senml-cbor" if first and first[0] >= 0x80 else "line"
