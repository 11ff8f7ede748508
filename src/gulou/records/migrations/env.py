"""Alembic's entry: one history for all tables, run by ``gulou.records.migrate``."""

from __future__ import annotations

from alembic import context

from gulou.records.database import metadata

OTHER_STORES = ("context_",)
"""Tables with these beginnings live in files of their own and are made there."""


def is_record(name: str | None, kind: str, _parents: object) -> bool:
    """Say whether a table belongs to the record store."""
    return kind != "table" or not (name or "").startswith(OTHER_STORES)


def is_recorded(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """The same for tables that code declares."""
    return is_record(name, kind, None)


def run() -> None:
    """Apply the migrations over the engine that the caller gave, in one transaction."""
    engine = context.config.attributes["engine"]
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
            include_name=is_record,
            include_object=is_recorded,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
