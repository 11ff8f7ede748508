"""The city data beside the project, by the packs' mappings, into the real intake: everything is accounted for."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from gulou.connectivity.intake import IntakeService, Ledger, MemoryLog
from gulou.kernel.clock import SystemClock
from gulou.records import Database
from gulou.sensing.loading import LoadService, file_digest, read_chunks
from gulou.sensing.sdk import MappingRegistry
from gulou.vocabulary import Vocabulary

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("GULOU_CITY_DATA", ROOT.parent / "shared" / "data"))
AIR = DATA / "air" / "PRSA_Data_Aotizhongxin_20130301-20170228.csv.gz"
SBC = DATA / "weather_flood" / "sbc_reservoir_levels_2021_2023.csv.gz"
ROWS = 6_000

pytestmark = [pytest.mark.integration, pytest.mark.data]


@pytest.fixture
def house(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = SystemClock()
    ledger = Ledger(database, clock)
    intake = IntakeService(MemoryLog(), Vocabulary.load(), clock, ledger)
    intake.start()
    mappings = MappingRegistry()
    for folder in sorted((ROOT / "packs").glob("*/sources")):
        mappings.load_directory(folder, folder.parent.name)
    yield LoadService(intake, mappings, ledger, clock), intake, ledger
    intake.stop()
    database.close()


def head(tmp_path, path, rows):
    short = tmp_path / path.name
    with gzip.open(path, "rt") as source, gzip.open(short, "wt") as target:
        target.writelines(line for _, line in zip(range(rows + 1), source, strict=False))
    return short


def load(service, path, mapping):
    origin = file_digest(path)
    for chunk in read_chunks(path):
        service.take(
            mapping,
            origin=origin,
            position=chunk.last_row,
            rows=chunk.rows,
            file_name=path.name,
            first_row=chunk.first_row,
        )
    return origin


@pytest.mark.skipif(not AIR.is_file(), reason="city data not there: air")
def test_beijing_air_is_stored_cell_by_cell(house, tmp_path):
    service, intake, ledger = house
    path = head(tmp_path, AIR, ROWS)
    with gzip.open(path, "rt") as file:
        cells = [cell for row in csv.DictReader(file) for name, cell in row.items() if name not in NOT_VALUES]
    origin = load(service, path, "prsa-air")
    intake.settle()
    account = service.origin("prsa-air", origin).account
    assert account.received == sum(cell != "NA" for cell in cells)
    assert account.received == account.stored + account.rejected + account.dropped
    assert account.rejected == 0
    assert service.origin("prsa-air", origin).position == ROWS
    before = ledger.total()
    load(service, path, "prsa-air")
    intake.settle()
    assert ledger.total().received == before.received


NOT_VALUES = {"No", "year", "month", "day", "hour", "station"}


@pytest.mark.skipif(not SBC.is_file(), reason="city data not there: weather_flood")
def test_reservoir_levels_with_thousands_separators_add_up(house, tmp_path):
    service, intake, _ = house
    path = head(tmp_path, SBC, ROWS)
    origin = load(service, path, "sbc-reservoir")
    intake.settle()
    account = service.origin("sbc-reservoir", origin).account
    assert account.received == account.stored + account.rejected + account.dropped
    assert account.stored > 0
