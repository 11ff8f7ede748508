"""What is asked of the history and what it answers. Frozen, no I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

from gulou.connectivity.intake import Value

Function = Literal["mean", "min", "max", "sum", "count", "first", "last", "stddev", "median", "percentile"]
FUNCTIONS: tuple[Function, ...] = (
    "mean", "min", "max", "sum", "count", "first", "last", "stddev", "median", "percentile",
)  # fmt: skip
DEFAULT_INSTANCE = "@none"
"""``dataset_id`` of a query that means only the instance without a datasetId. Source: ETSI GS CIM 009 §4.5.5"""


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings.

    Args:
        type: entity type; None is every type.
        id_glob: entity id, ``*`` for any run of characters, ``?`` for one; everything else stands for itself.
        property: property name; None is every property.
        properties: any of these; None is no condition.
        from_us, to_us: observed at or after ``from_us``, before ``to_us``; µs since the Unix epoch, UTC; None is open.
        dataset_id: one instance; ``@none`` the default one; None is all.
        limit: rows at most; None is the limit of the settings.
        order: by time (then entity, property): ``asc`` or ``desc``.
    """

    type: str | None = None
    id_glob: str | None = None
    property: str | None = None
    properties: tuple[str, ...] | None = None
    from_us: int | None = None
    to_us: int | None = None
    dataset_id: str | None = None
    limit: int | None = None
    order: Literal["asc", "desc"] = "asc"


class AggregateQuery(HistoryQuery, frozen=True, kw_only=True):
    """Which readings, gathered into time steps.

    Args:
        function: what is made of a step's numbers (truth values count as 0 and 1). ``count`` counts every reading,
            texts too. ``stddev`` is that of a sample, absent for a single reading. ``first`` and ``last`` are by time.
        every: step: ``30s``, ``15m``, ``1h``, ``1d``, ``1w`` (from Monday), ``1mo``, ``1y``; see ``buckets``.
        zone: IANA name; days, weeks, months and years begin at its midnight.
        by: ``id`` makes one line for every entity, None one for all together.
        percentile: 0 to 1, for ``percentile``; interpolated linearly.
        limit: steps (lines) at most.
    """

    function: Function = "mean"
    every: str = "1h"
    zone: str = "UTC"
    by: Literal["id"] | None = None
    percentile: float = 0.5


class HistoryRow(msgspec.Struct, frozen=True):
    """One reading as it was; whole numbers come back as floats, ``received_at_us`` rounded up to a second."""

    entity_id: str
    entity_type: str
    property: str
    dataset_id: str | None
    observed_at_us: int
    value: Value
    unit_code: str | None
    kind: str
    device_id: str | None
    flags: tuple[str, ...]
    source: str
    received_at_us: int
    sequence: int


class Bucket(msgspec.Struct, frozen=True):
    """One step of an aggregate; steps without a reading are left out.

    Args:
        time_us: when the step begins, µs since the Unix epoch, UTC (may be before ``from_us``).
        value: None where the function has none (stddev of one reading, no numbers).
        count: readings that the value was made from.
        entity_id: with ``by="id"``.
    """

    time_us: int
    value: float | None
    count: int
    entity_id: str | None = None
