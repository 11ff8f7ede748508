"""Bring a record store to this version's schema, or say clearly why that cannot be done."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from gulou.kernel.errors import Conflict
from gulou.records.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> str:
    """Upgrade to the newest schema; harmless when it is there already. Returns the revision.

    Raises:
        Conflict: ``records.newer`` when a later version of Gulou wrote this store.
    """
    known = revisions()
    present, head = _present(database), known[-1]
    if present == head:
        return head
    if present is not None and present not in known:
        raise Conflict("records.newer", found=present, known=head)
    from alembic import command  # a third of a second, which nearly no start needs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["engine"] = database.engine
    command.upgrade(config, "head")
    return head


def revisions() -> list[str]:
    """Return every revision of the schema, oldest first, as the names of the scripts have it: ``m0001_…`` is 0001."""
    return sorted(script.name[1:].partition("_")[0] for script in (_SCRIPTS / "versions").glob("m*.py"))


def _present(database: Database) -> str | None:
    """Return the revision that a store is at; None: it has no tables yet."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found
