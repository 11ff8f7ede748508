"""What travels from an adapter to the log: readings, rejects and receipts. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gulou.connectivity.intake.columns import Columns

Value = float | int | bool | str | dict[str, Any] | list[Any]
"""A number, a truth value, a text, a GeoJSON geometry, or a structured JSON value."""


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """One value of one property of one entity at one time.

    Args:
        entity_id: NGSI-LD URN, ``urn:ngsi-ld:WaterLevelObserved:drain-7``.
        entity_type: a type of the vocabulary, ``WaterLevelObserved``.
        property: a property's name in that type, ``waterLevel``.
        value: in ``unit_code``; after acceptance always in the property's own unit.
        observed_at_us: when the world was so, µs since the Unix epoch, UTC.
        unit_code: UCUM code as sent; None means the property's own unit.
        dataset_id: tells parallel instances of one property apart (NGSI-LD datasetId); None is the default one.
        device_id: which device sent it, if one did.
        kind: NGSI-LD attribute kind: ``Property``, ``GeoProperty``, ``Relationship`` or ``LanguageProperty``.
        flags: doubts that do not make it wrong, ``("clock.future",)``.
    """

    entity_id: str
    entity_type: str
    property: str
    value: Value
    observed_at_us: int
    unit_code: str | None = None
    dataset_id: str | None = None
    device_id: str | None = None
    kind: str = "Property"
    flags: tuple[str, ...] = ()


class Flaw(msgspec.Struct, frozen=True, array_like=True):
    """Why (a part of) a payload made no reading: a stable reason code, its parameters, and where in the payload."""

    code: str
    params: dict[str, Any] = {}
    where: str = ""


class Payload(msgspec.Struct, frozen=True):
    """One message or row as it came, and what the mapping made of it.

    ``len(readings) + len(flaws)`` is what it counts as received; an empty payload counts nothing.

    Args:
        raw: the bytes as they came (cut at 64 KiB for keeping), so that a mended mapping can read them again.
        address: where it came in: an MQTT topic, a URL path, ``file.csv:1024``.
    """

    raw: bytes
    address: str
    readings: tuple[Reading, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    device_id: str | None = None


class Submission(msgspec.Struct, frozen=True):
    """What an adapter hands over in one go; it is accepted as a whole or not at all.

    Args:
        source: whose account it goes to: ``mqtt``, ``http``, ``load:prsa-air``. One line on the accounting page.
        mapping: name of the payload mapping, for replay; None when the adapter's own format was used.
        adapter: name and version of the adapter, ``mqtt/1``.
        origin: names a resumable sender (a file's digest); with ``position`` makes a repeat harmless.
        position: how far in that origin this submission reaches (rows, messages), growing. A submission whose position
            is not past the last durable one of its origin is answered with a receipt of zeros and ``repeated=True``.
        replay_of: ids of the rejects that this submission reads again.
    """

    source: str
    adapter: str
    payloads: tuple[Payload, ...]
    mapping: str | None = None
    origin: str | None = None
    position: int | None = None
    replay_of: tuple[str, ...] = ()


RawOf = Callable[[int], Payload]
"""Gives the payload that a row came in: its ``raw``, ``address`` and ``device_id``, without readings."""


class ColumnSubmission(msgspec.Struct, frozen=True):
    """What an adapter hands over as columns; accepted as a whole or not at all, as a ``Submission`` is.

    The adapter has already done what depends on who sends: the device is known, enabled and bound to these series, and
    the values are converted to the properties' own units. The intake checks the rest (clock, range, duplicates), and
    makes rejects of what fails.

    Args:
        raw_of: called only for rows that are rejected, before the receipt is given.
        origin, position: as in ``Submission``.
    """

    source: str
    adapter: str
    columns: Columns
    raw_of: RawOf
    mapping: str | None = None
    origin: str | None = None
    position: int | None = None


class Rejected(msgspec.Struct, frozen=True):
    """Bad data, kept: what came, why it was refused, and what it takes to read it again.

    Args:
        id: ``<log sequence>-<index>``, sortable, stable.
        received_at_us: µs since the Unix epoch, UTC.
    """

    id: str
    received_at_us: int
    source: str
    adapter: str
    mapping: str | None
    device_id: str | None
    address: str
    raw: bytes
    code: str
    params: dict[str, Any]
    where: str = ""
    replayed: bool = False


class RejectQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rejects to list, newest first.

    Args:
        text: part of the address, the device's id or the raw bytes.
        cursor: ``next`` of the page before.
    """

    source: str | None = None
    code: str | None = None
    device_id: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    text: str | None = None
    replayed: bool | None = None
    limit: int = 100
    cursor: str | None = None


class RejectPage(msgspec.Struct, frozen=True):
    """One page of rejects; ``next`` is None on the last one."""

    items: tuple[Rejected, ...]
    total: int
    next: str | None


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a submission, given only when everything in it is durable.

    Args:
        sequence: of the log record that holds it.
        problems: the first 20 rejects, for the answer to the sender; ``where`` begins with the payload's address.
    """

    sequence: int
    received: int
    stored: int
    rejected: int
    repeated: bool = False
    problems: tuple[Flaw, ...] = ()


class LogBatch(msgspec.Struct, frozen=True):
    """What the consumers of the log see, in order, each exactly once per position: the accepted readings of one commit.

    Args:
        sequence: position in the log, growing by one per record; what a consumer keeps to resume.
        received_at_us: µs since the Unix epoch, UTC.
        replay_of: ids of earlier rejects that this batch read again.
        readings: what came as objects.
        columns: what came as columns; a consumer without ``takes_columns`` never sees any (see ``expand``).
        dropped: readings given up unacknowledged since the record before: source → reason → count.
    """

    sequence: int
    received_at_us: int
    source: str
    readings: tuple[Reading, ...]
    rejected: tuple[Rejected, ...] = ()
    origin: str | None = None
    position: int | None = None
    replay_of: tuple[str, ...] = ()
    dropped: dict[str, dict[str, int]] = {}
    columns: Columns | None = None

    @property
    def count(self) -> int:
        """Accepted readings, objects and rows."""
        return len(self.readings) + (0 if self.columns is None else len(self.columns))


class Account(msgspec.Struct, frozen=True):
    """One line of the ledger: received = stored + rejected + dropped, at every moment."""

    source: str
    received: int
    stored: int
    rejected: int
    dropped: int
    last_received_at_us: int | None = None


class OriginAccount(msgspec.Struct, frozen=True):
    """How far a resumable sender has come, and what became of what it sent."""

    origin: str
    position: int
    account: Account
