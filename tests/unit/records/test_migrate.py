"""The schema is brought up to date, once, and a later one is left alone."""

import subprocess
import sys
from importlib.resources import files

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gulou.kernel import Conflict
from gulou.records import Database, migrate
from gulou.records.migrate import revisions


def test_the_names_of_the_scripts_tell_their_order():
    config = Config()
    config.set_main_option("script_location", str(files("gulou.records") / "migrations"))
    scripts = ScriptDirectory.from_config(config)

    assert [one.revision for one in reversed(list(scripts.walk_revisions()))] == revisions()


def test_an_empty_store_gets_all_tables_and_then_stays_as_it_is(tmp_path):
    database = Database.at(tmp_path / "records.db")

    assert migrate(database) == migrate(database) == revisions()[-1]
    assert {"devices", "rule_states", "alembic_version"} <= set(inspect(database.engine).get_table_names())


def test_a_store_of_a_later_version_is_refused(tmp_path):
    database = Database.at(tmp_path / "records.db")
    migrate(database)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Conflict) as refused:
        migrate(database)
    assert refused.value.code == "records.newer"


def test_a_store_that_is_up_to_date_needs_no_migration_tool(tmp_path):
    migrate(Database.at(tmp_path / "records.db"))
    code = (
        "import sys; from pathlib import Path; from gulou.records import Database, migrate;"
        f"migrate(Database.at(Path({str(tmp_path / 'records.db')!r}))); sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
