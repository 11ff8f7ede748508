"""Alembic's entry: one history for all tables, run by ``gulou.records.migrate``."""

from __future__ import annotations

from alembic import context

from gulou.records.database import metadata


def run() -> None:
    """Apply the migrations over the engine that the caller gave, in one transaction."""
    engine = context.config.attributes["engine"]
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
