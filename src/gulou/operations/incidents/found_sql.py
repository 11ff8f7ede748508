"""What rules have found, from their own durable record, in the order in which they found it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Index, bindparam, func, select

from gulou.hub.rules import Detection
from gulou.records import Database, Prepared, metadata

_record = metadata.tables["rule_detections"]
Index("ix_rule_detections_number", _record.c.number)
_AFTER = Prepared(
    lambda _: (
        select(_record.c.number, _record.c.detection)
        .where(_record.c.number > bindparam("number"))
        .order_by(_record.c.number)
        .limit(bindparam("most"))
    )
)
_NUMBER = Prepared(lambda _: select(_record.c.number).where(_record.c.key == bindparam("key")))
_NEWEST = Prepared(lambda _: select(func.coalesce(func.max(_record.c.number), 0)))
_decoder = msgspec.msgpack.Decoder(Detection)


class FoundDetections:
    """The rules' record of detections (table ``rule_detections``); it grows at their checkpoints, by a number for each.

    Args:
        keep: asks the rules for a checkpoint now, and returns when it is through; raises Unavailable if away.
    """

    def __init__(self, database: Database, keep: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._keep = keep

    def keep(self) -> None:
        """Have what was found until now written to the record; it may be that this cannot be done for now."""
        self._keep()

    def newest(self) -> int:
        """Return the number of the newest detection, 0 where there is none."""
        with self._database.reading() as connection:
            return int(_NEWEST.run(connection, {}).scalar_one())

    def after(self, number: int, limit: int) -> list[tuple[int, Detection]]:
        """Return what has a greater number, in order, each with its number."""
        with self._database.reading() as connection:
            rows = _AFTER.run(connection, {"number": number, "most": limit}).all()
        return [(row.number, _decoder.decode(row.detection)) for row in rows]

    def number_of(self, detection: Detection) -> int | None:
        """Return the number of a detection, None while it is not in the record."""
        with self._database.reading() as connection:
            found = _NUMBER.run(connection, {"key": detection.key()}).scalar_one_or_none()
        return None if found is None else int(found)
