"""Every code has its sentence in both languages, every setting its description, and generated pages are current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

import gulou.cli.wire as wire
from gulou.kernel.messages import find_gaps, load_catalogue, misplaced_codes
from gulou.records import Database, metadata, migrate

ROOT = Path(__file__).resolve().parents[2]


def test_every_code_that_is_raised_has_a_sentence_in_both_languages() -> None:
    assert find_gaps(ROOT / "src" / "gulou", load_catalogue()) == []
    assert load_catalogue().missing_languages() == []
    assert misplaced_codes() == []


def test_every_setting_is_described() -> None:
    fields = [
        (kind.__name__, name, field) for kind in wire.SECTIONS.values() for name, field in kind.model_fields.items()
    ]
    assert [(kind, name) for kind, name, field in fields if len(field.description or "") < 10] == []


def test_generated_pages_are_current() -> None:
    script = ROOT / "tools" / "write_reference.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"run make docs: {result.stdout}{result.stderr}"


def test_migrations_make_exactly_the_tables_that_code_declares(tmp_path: Path) -> None:
    database = Database.at(tmp_path / "records.db")
    migrate(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda item, name, kind, *_: not str(name).startswith("context_")}
        )
        differences = compare_metadata(context, metadata)
        tables = inspect(connection).get_table_names()
    database.close()
    assert differences == []
    assert "incidents" in tables
