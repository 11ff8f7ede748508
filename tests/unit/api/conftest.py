import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gulou.access import AccessService, DeviceCredentials, Passwords, Principal
from gulou.api import ApiSettings, Services, create_app
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.commands import CommandService
from gulou.connectivity.devices import DeviceRegistry
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
from gulou.connectivity.traffic import TrafficMeter
from gulou.hub.context import ContextService, MemoryContextStore
from gulou.hub.history import HistoryService
from gulou.hub.rules import RuleService
from gulou.kernel import VirtualClock, from_rfc3339
from gulou.operations.incidents import IncidentService, WarningService
from gulou.packs import PackService
from gulou.records import Database
from gulou.sensing.loading import LoadService, RejectReplayer
from gulou.sensing.sdk.mapping import MappingRegistry
from gulou.vocabulary import Vocabulary

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its advice about which HTTP library to install
    from starlette.testclient import TestClient

CHEAP = {"memory_kib": 8, "passes": 1, "lanes": 1}
PACKS = Path(__file__).parents[3] / "packs"
NOW = "2026-07-01T08:00:00Z"
PASSWORD = "correct horse battery"


@dataclass
class City:
    """A city in one process: the real services on a virtual clock, and the application in front of them."""

    services: Services
    clock: VirtualClock
    client: TestClient
    mappings: MappingRegistry
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
    with built_city(tmp_path, console_directory, city_settings) as city:
        yield city


@pytest.fixture(scope="module")
def shared_city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """One city for all tests of a module that change nothing."""
    with built_city(tmp_path_factory.mktemp("city"), None, ApiSettings()) as city:
        yield city


@contextmanager
def built_city(folder: Path, console_directory: Path | None, settings: ApiSettings) -> Iterator[City]:
    clock = VirtualClock(from_rfc3339(NOW))
    database = Database.at(folder / "records.db")
    database.create_tables()
    vocabulary, bus, mappings = Vocabulary.load(), MemoryBus(), MappingRegistry()
    access = AccessService(database, clock, passwords=Passwords(**CHEAP))
    access.create_user(Principal.system("test"), "admin", PASSWORD, roles=["admin"])
    credentials = DeviceCredentials(database, clock, passwords=Passwords(**CHEAP))
    devices = DeviceRegistry(database, clock, bus, access.audit, credentials)
    commands = CommandService(database, clock, bus, access.audit, devices)
    context = ContextService(MemoryContextStore(), clock, bus, vocabulary, access.audit)
    ledger, rejects = Ledger(database, clock), SqlRejectStore(database, clock)
    history = HistoryService(folder / "history", clock)
    rules = RuleService(database, clock, bus, context, devices=devices)
    incidents = IncidentService(database, clock, bus, access.audit)
    warnings = WarningService(database, clock, bus, access.audit, commands, incidents)
    consumers = [rejects, context, history, commands, rules]
    intake = IntakeService(MemoryLog(), vocabulary, clock, ledger, consumers=consumers)
    packs = PackService(
        (folder / "packs", PACKS), folder / "running", vocabulary, mappings, rules, database, clock, access.audit
    )
    rules.start(0)
    traffic = TrafficMeter(intake.series)
    intake.add_consumer(traffic)
    intake.start()
    services = Services(
        clock=clock,
        access=access,
        credentials=credentials,
        vocabulary=vocabulary,
        bus=bus,
        intake=intake,
        ledger=ledger,
        rejects=rejects,
        replayer=RejectReplayer(rejects, mappings, intake, devices),
        loads=LoadService(intake, mappings, ledger, clock),
        devices=devices,
        commands=commands,
        context=context,
        history=history,
        rules=rules,
        warnings=warnings,
        incidents=incidents,
        packs=packs,
        traffic=traffic,
        data_directory=folder,
        started_at_us=clock.now_us(),
        console_directory=console_directory,
        settings=settings,
    )
    with TestClient(create_app(services), base_url="http://city.test") as client:
        yield City(services, clock, client, mappings)
    intake.stop()
    context.close()
    history.close()
    database.close()


PACK_FILES = {
    "pack.yaml": "pack: drains\nversion: 1.0.0\ntitle: {en: Drains, zh: 排水}\n",
    "rules/level.yaml": """
rules:
  - id: level
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {yellow: 1.0, red: 2.0}
    category: flood
    department: water
    headline: {en: "Water at {value:.1f} m", zh: "水位{value:.1f}米"}
    commands:
      - target: {type: Pump, where: drains = this}
        name: switch
        parameters: {status: "on"}
        at: yellow
        approval: person
""",
}


@pytest.fixture
def drains(city: City) -> City:
    """A city whose pack warns of high water and proposes the pump ``pump-1``; the admin is signed in."""
    for path, text in PACK_FILES.items():
        file = city.services.data_directory / "packs" / "drains" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    city.sign_in()
    pump = {
        "id": "urn:ngsi-ld:Pump:p1",
        "type": "Pump",
        "drains": {"type": "Relationship", "object": "urn:ngsi-ld:WaterLevelObserved:drain-1"},
    }
    assert city.client.post("/api/v1/entities", json=pump).status_code == 201
    device = {
        "id": "pump-1",
        "name": "Pump",
        "adapter": "mqtt",
        "kind": "actuator",
        "bindings": [{"entity_id": "urn:ngsi-ld:Pump:p1", "entity_type": "Pump"}],
    }
    assert city.client.post("/api/v1/devices", json=device).status_code == 201
    enabled = city.client.post("/api/v1/packs/drains/enable")
    assert enabled.json()["state"] == "enabled", enabled.text
    return city


@pytest.fixture
def level() -> Any:
    def of(value: float, at: str = NOW) -> Reading:
        entity = "urn:ngsi-ld:WaterLevelObserved:drain-1"
        return Reading(entity, "WaterLevelObserved", "waterLevel", value, from_rfc3339(at))

    return of
