"""Bring a record store to this version's schema, or say clearly why that cannot be done."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from gulou.kernel.errors import Conflict
from gulou.records.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> str:
    """Upgrade to the newest schema; harmless when it is there already. Returns the revision.

    Raises:
        Conflict: ``records.newer`` when a later version of Gulou wrote this store.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head() or ""
    with database.engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    if present == head:
        return head
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise Conflict("records.newer", found=present, known=head)
    config.attributes["engine"] = database.engine
    command.upgrade(config, "head")
    return head
