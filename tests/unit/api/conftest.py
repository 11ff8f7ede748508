import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gulou.access import AccessService, DeviceCredentials, Passwords, Principal
from gulou.api import ApiSettings, Services, create_app
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import (
    Flaw,
    IntakeService,
    Ledger,
    MemoryLog,
    Payload,
    Reading,
    SqlRejectStore,
    Submission,
)
from gulou.hub.history import HistoryService
from gulou.kernel import Fault, VirtualClock, from_rfc3339
from gulou.records import Database
from gulou.vocabulary import Vocabulary

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its advice about which HTTP library to install
    from starlette.testclient import TestClient

CHEAP = {"memory_kib": 8, "passes": 1, "lanes": 1}
NOW = "2026-07-01T08:00:00Z"
PASSWORD = "correct horse battery"


class Absent:
    """Stands for a service that a test has no need of."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        raise Fault("fault.absent", part=self._part)


@dataclass
class City:
    """A city in one process: the real services on a virtual clock, and the application in front of them."""

    services: Services
    clock: VirtualClock
    client: TestClient
    password: str = PASSWORD

    def client_from(self, address: str = "10.0.0.7", **options: Any) -> TestClient:
        """Another caller of the same application."""
        return TestClient(self.client.app, base_url="http://city.test", client=(address, 5), **options)

    def sign_in(self, name: str = "admin", password: str = PASSWORD) -> None:
        answer = self.client.post("/api/v1/session", json={"name": name, "password": password})
        assert answer.status_code == 201, answer.text
        self.client.headers["X-Gulou-Csrf"] = answer.json()["csrf_token"]

    def add_user(self, name: str, *roles: str, department: str | None = None) -> str:
        root = Principal.system("test")
        user, _ = self.services.access.create_user(root, name, PASSWORD, roles=roles, department=department)
        return user.id

    def sign_in_as(self, *roles: str, department: str | None = None) -> None:
        self.client.cookies.clear()
        self.client.headers.pop("X-Gulou-Csrf", None)
        name = "-".join(roles) or "nobody"
        self.add_user(name, *roles, department=department)
        self.sign_in(name)

    def take(self, *readings: Reading, flaws: tuple[Flaw, ...] = (), raw: bytes = b"raw", source: str = "http") -> None:
        payload = Payload(raw=raw, address="/ingest/v1/readings", readings=readings, flaws=flaws)
        self.services.intake.submit(Submission(source, "http/1", (payload,))).result(10)
        self.services.intake.settle()


@pytest.fixture
def city_settings() -> ApiSettings:
    return ApiSettings()


@pytest.fixture
def console_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "web"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text("<!doctype html><title>Gulou</title>", "utf-8")
    (directory / "assets" / "app-1a2b.js").write_text("let x = 1", "utf-8")
    (directory / "assets" / "app-1a2b.js.gz").write_bytes(b"\x1f\x8bpacked")
    return directory


@pytest.fixture
def city(tmp_path: Path, console_directory: Path, city_settings: ApiSettings) -> Iterator[City]:
    clock = VirtualClock(from_rfc3339(NOW))
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    vocabulary = Vocabulary.load()
    bus = MemoryBus()
    access = AccessService(database, clock, passwords=Passwords(**CHEAP))
    access.create_user(Principal.system("test"), "admin", PASSWORD, roles=["admin"])
    ledger, rejects = Ledger(database, clock), SqlRejectStore(database, clock)
    history = HistoryService(tmp_path / "history", clock)
    intake = IntakeService(MemoryLog(), vocabulary, clock, ledger, consumers=[rejects, history])
    intake.start()
    services = Services(
        clock=clock,
        access=access,
        credentials=DeviceCredentials(database, clock, passwords=Passwords(**CHEAP)),
        vocabulary=vocabulary,
        bus=bus,
        intake=intake,
        ledger=ledger,
        rejects=rejects,
        history=history,
        replayer=Absent("replayer"),
        loads=Absent("loads"),
        devices=Absent("devices"),
        commands=Absent("commands"),
        context=Absent("context"),
        rules=Absent("rules"),
        warnings=Absent("warnings"),
        incidents=Absent("incidents"),
        packs=Absent("packs"),
        data_directory=tmp_path,
        started_at_us=clock.now_us(),
        console_directory=console_directory,
        settings=city_settings,
    )
    with TestClient(create_app(services), base_url="http://city.test") as client:
        yield City(services, clock, client)
    intake.stop()
    history.close()
    database.close()
