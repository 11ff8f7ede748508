from pathlib import Path

import pytest

from gulou.access import AccessService, AccessSettings, DeviceCredentials, Passwords, Principal
from gulou.kernel import VirtualClock, from_rfc3339
from gulou.records import Database

CHEAP = {"memory_kib": 8, "passes": 1, "lanes": 1}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(from_rfc3339("2026-07-01T08:00:00Z"))


@pytest.fixture
def database(tmp_path: Path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    yield database
    database.close()


@pytest.fixture
def access(database, clock) -> AccessService:
    return AccessService(database, clock, AccessSettings(), passwords=Passwords(**CHEAP))


@pytest.fixture
def credentials(database, clock) -> DeviceCredentials:
    return DeviceCredentials(database, clock, passwords=Passwords(**CHEAP))


@pytest.fixture
def root() -> Principal:
    return Principal.system("test")
