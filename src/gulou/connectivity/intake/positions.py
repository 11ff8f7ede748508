"""Where consumers that live in the records keep their position in the log."""

from __future__ import annotations

from sqlalchemy import Connection, select

from gulou.connectivity.intake.tables import intake_positions
from gulou.records import Database


def load_position(database: Database, consumer: str) -> int:
    """Return the durable position of a consumer; 0 at first."""
    with database.reading() as connection:
        row = connection.execute(
            select(intake_positions.c.sequence).where(intake_positions.c.consumer == consumer)
        ).scalar_one_or_none()
    return 0 if row is None else int(row)


def save_position(connection: Connection, consumer: str, sequence: int) -> None:
    """Write it in the same transaction as what it stands for."""
    changed = connection.execute(
        intake_positions.update().where(intake_positions.c.consumer == consumer).values(sequence=sequence)
    )
    if changed.rowcount == 0:
        connection.execute(intake_positions.insert().values(consumer=consumer, sequence=sequence))
