"""``gulou accounts``: whether what is stored is what was counted, from the files alone; a server may run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import typer
from deltalake import DeltaTable

from gulou.cli import show
from gulou.cli.domain import SettingsReader
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.cli.settings import ServerSettings
from gulou.connectivity.intake import Account, Damage, Ledger, LogInspector, LogKeys, LogSettings, SeenRecord
from gulou.kernel.clock import SystemClock
from gulou.records import Database

app = typer.Typer(no_args_is_help=True, help="The accounts: received = stored + rejected + dropped.")

_TABLE = "readings"
_POSITION, _RETIRED = "gulou-history", "gulou-history-retired"
_TRIES = 20
_LOOKS = 3
_COUNTS = """
SELECT source, count(*) FILTER (sequence <= ?)::BIGINT, count(*) FILTER (late <> 0)::BIGINT
FROM read_parquet(?) GROUP BY source
"""
_REPLACED = """
WITH touched AS (
    SELECT DISTINCT entity_type, entity_id, property, dataset_id, observed_at FROM read_parquet($files) WHERE late <> 0
), ranked AS (
    SELECT r.source, row_number() OVER (
        PARTITION BY r.entity_type, r.entity_id, r.property, r.dataset_id, r.observed_at ORDER BY r.sequence DESC
    ) AS place
    FROM read_parquet($files) r SEMI JOIN touched t
    ON r.entity_type = t.entity_type AND r.entity_id = t.entity_id AND r.property = t.property
        AND r.observed_at = t.observed_at AND r.dataset_id IS NOT DISTINCT FROM t.dataset_id
)
SELECT source, count(*)::BIGINT FROM ranked WHERE place > 1 GROUP BY source
"""


class LakeTable(msgspec.Struct, frozen=True, kw_only=True):
    """The history's table at one moment.

    Args:
        position: log sequence up to which the table has everything.
        expires: rows were deleted for their age.
        files: what it is made of.
    """

    position: int = 0
    expires: bool = False
    files: tuple[str, ...] = ()


class Lake(msgspec.Struct, frozen=True, kw_only=True):
    """What the history's table holds, by source.

    Args:
        position: log sequence up to which the table has everything.
        rows: with a sequence up to the ledger's position.
        late: not newer than their series when they came; only such a row can replace another.
        replaced: still there beside the row that replaces them.
        expires: rows were deleted for their age.
    """

    position: int = 0
    rows: dict[str, int] = {}
    late: dict[str, int] = {}
    replaced: dict[str, int] = {}
    expires: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One source: what was counted, what is there, and why the two may differ.

    Args:
        history, log: accepted readings in the history's table, and behind its position in the log.
        values: distinct series and times among those in the table.
        missing: ``stored - history - log``.
        verdict: ``exact``; ``corrected``: replaced by corrections or repeats from far back, and merged away since;
            ``expired``: may have been deleted for their age; ``missing``, ``too_many``, ``sums``: wrong.
    """

    source: str
    received: int
    stored: int
    rejected: int
    dropped: int
    history: int
    log: int
    values: int
    missing: int
    verdict: str


_SOUND = frozenset({"exact", "corrected", "expired"})
_WHY = {
    "exact": "",
    "corrected": "replaced by corrections, or repeated from far back",
    "expired": "deleted for their age, as retention says",
    "missing": "WRONG: readings are missing",
    "too_many": "WRONG: more readings than were counted",
    "sums": "WRONG: received is not stored + rejected + dropped",
}


@app.callback()
def accounts() -> None:
    """The accounts: received = stored + rejected + dropped."""


@app.command("check")
def check(as_json: Json = False, data: Data = None) -> None:
    """Hold the history and the log against the ledger, per source. Exit code 1 where they do not agree.

    Reads the records, the history's table and the log as they lie on the disk; a server may run meanwhile.
    """
    place = Place.chosen(data)
    settings = SettingsReader(place.settings, os.environ)
    position, accounts = _ledger(place, settings)
    for _ in range(_LOOKS):  # a server that runs may use a file of the log again while it is read
        table = open_lake(place.history / _TABLE)
        logged, problems = _read_log(place, settings, table.position, position)
        if not problems:
            break
    lake = count_lake(table, position)  # its files stay for hours, the log's do not
    lines = [judge(account, lake, logged) for account in accounts]
    unknown = sorted((lake.rows.keys() | logged.keys()) - {line.source for line in lines})
    lines += [judge(Account(source, 0, 0, 0, 0), lake, logged) for source in unknown]
    sound = not problems and all(line.verdict in _SOUND for line in lines)
    if as_json:
        show.emit(
            {"sound": sound, "ledger": position, "history": lake.position, "problems": problems, "sources": lines}
        )
    else:
        _print(lines, position, lake, problems)
    if not sound:
        raise typer.Exit(1)


def judge(account: Account, lake: Lake, logged: Counter[str]) -> Line:
    """Compare one source's account with what is there."""
    source = account.source
    rows, late = lake.rows.get(source, 0), lake.late.get(source, 0)
    missing = account.stored - rows - logged[source]
    if account.received != account.stored + account.rejected + account.dropped:
        verdict = "sums"
    elif missing <= 0:
        verdict = "too_many" if missing else "exact"
    elif missing <= late:
        verdict = "corrected"
    else:
        verdict = "expired" if lake.expires else "missing"
    return Line(
        source=source,
        received=account.received,
        stored=account.stored,
        rejected=account.rejected,
        dropped=account.dropped,
        history=rows,
        log=logged[source],
        values=rows - lake.replaced.get(source, 0),
        missing=missing,
        verdict=verdict,
    )


def open_lake(path: Path) -> LakeTable:
    """Return the history's table as it is now."""
    if not DeltaTable.is_deltatable(str(path)):
        return LakeTable()
    table = DeltaTable(str(path))
    position, retired = (table.transaction_version(name) or 0 for name in (_POSITION, _RETIRED))
    return LakeTable(position=position, expires=retired > 0, files=tuple(table.file_uris()))


def count_lake(table: LakeTable, up_to: int) -> Lake:
    """Count a table's rows by source, those with a sequence up to ``up_to``."""
    if not table.files:
        return Lake(position=table.position, expires=table.expires)
    files = list(table.files)
    with duckdb.connect() as engine:
        engine.execute("SET memory_limit = '2GB'")
        counted = engine.execute(_COUNTS, [up_to, files]).fetchall()
        has_late = any(late for _, _, late in counted)
        replaced: Sequence[Any] = engine.execute(_REPLACED, {"files": files}).fetchall() if has_late else []
    return Lake(
        position=table.position,
        rows={source: rows for source, rows, _ in counted},
        late={source: late for source, _, late in counted},
        replaced=dict(replaced),
        expires=table.expires,
    )


def _ledger(place: Place, settings: SettingsReader) -> tuple[int, list[Account]]:
    """Return the accounts and the sequence up to which they count; again where the server wrote in between."""
    url = settings.read("server", ServerSettings).records_url
    database = Database(url) if url else Database.at(place.records)
    try:
        for _ in range(_TRIES):
            ledger = Ledger(database, SystemClock())
            if Ledger(database, SystemClock()).position() == ledger.position():
                break
        return ledger.position(), ledger.accounts()
    finally:
        database.close()


def _read_log(place: Place, settings: SettingsReader, after: int, up_to: int) -> tuple[Counter[str], list[str]]:
    """Count the accepted readings that the table does not have yet, and say what of them the log lacks."""
    counted: Counter[str] = Counter()
    if up_to <= after:
        return counted, []
    problems: list[str] = []
    expected = after + 1
    keys = LogKeys.read(settings.read("log", LogSettings).encryption_key_file)
    for seen in LogInspector(place.log, keys).walk(after + 1, up_to):
        if isinstance(seen, SeenRecord):
            if seen.batch.sequence != expected:
                problems.append(f"the log has no records {expected} to {seen.batch.sequence - 1}")
            counted[seen.batch.source] += seen.batch.count
            expected = seen.batch.sequence + 1
        elif isinstance(seen, Damage):
            problems.append(f"{seen.file} is damaged at {seen.offset} ({seen.problem}), record {seen.sequence}")
    if expected <= up_to:
        problems.append(f"the log has no records {expected} to {up_to}")
    return counted, problems


def _print(lines: Sequence[Line], position: int, lake: Lake, problems: Sequence[str]) -> None:
    columns = ("source", "received", "stored", "rejected", "dropped", "history", "log", "values", "missing", "why")
    items = [{**msgspec.structs.asdict(line), "why": _WHY[line.verdict]} for line in lines if line.source]
    show.rows(items, columns, as_json=False, empty="Nothing was ever received.")
    show.people.print(f"ledger up to record {position}, history up to {lake.position}", style="dim")
    for problem in problems:
        show.people.print(problem, style="bold red", markup=False)
