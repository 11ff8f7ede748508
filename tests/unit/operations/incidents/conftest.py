"""An operations centre without servers: a real record store, bus and audit, and a command desk that remembers."""

from __future__ import annotations

from typing import Any

import pytest

from gulou.access import Audit, Permission, Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.commands import Command, CommandChanged, CommandRequest
from gulou.hub.rules import Detection, ProposedCommand
from gulou.kernel import Conflict, GulouError, VirtualClock
from gulou.operations.incidents import IncidentChanged, IncidentService, WarningChanged, WarningService
from gulou.records import Database

S = 1_000_000
START = 1_760_000_000 * S
HERE = {"type": "Point", "coordinates": [116.4, 39.9]}


class Desk:
    """Takes command requests; the same id twice is one command."""

    def __init__(self) -> None:
        self.requests: dict[str, CommandRequest] = {}
        self.refusal: GulouError | None = None

    def request(self, request: CommandRequest, principal: Principal) -> Command:
        if self.refusal is not None:
            raise self.refusal
        self.requests.setdefault(request.id or "", request)
        return self.command(request.id or "", "requested")

    def command(self, command_id: str, state: Any, cause: str | None = None) -> Command:
        request = self.requests.get(command_id)
        return Command(
            id=command_id,
            device_id=request.device_id if request else "dev-1",
            name=request.name if request else "switch",
            parameters={},
            state=state,
            requested_by="x",
            requested_at_us=START,
            expires_at_us=START + 3600 * S,
            cause=cause or (request.cause if request else None),
        )


class Record:
    """What rules found: as in their store, but written at once."""

    def __init__(self) -> None:
        self.found: list[Detection] = []
        self.unkept: list[Detection] = []
        self.asked = 0

    def keep(self) -> None:
        self.asked += 1

    def checkpoint(self) -> None:
        self.found += self.unkept
        self.unkept = []

    def newest(self) -> int:
        return len(self.found)

    def after(self, number: int, limit: int) -> list[tuple[int, Detection]]:
        return list(enumerate(self.found, 1))[number : number + limit]

    def number_of(self, detection: Detection) -> int | None:
        return self.found.index(detection) + 1 if detection in self.found else None


class Centre:
    def __init__(self, tmp_path: Any) -> None:
        self.S = S
        self.clock = VirtualClock(START)
        self.database = Database.at(tmp_path / "records.db")
        self.database.create_tables()
        self.desk = Desk()
        self.admin = Principal.system("admin")
        self.Conflict = Conflict
        self.record = Record()
        self.begin()

    def begin(self) -> None:
        """Start the services, as after a crash: nothing but the record store is left."""
        self.bus = MemoryBus()
        self.audit = Audit(self.database, self.clock)
        self.said: list[Any] = []
        self.incidents = IncidentService(self.database, self.clock, self.bus, self.audit)
        self.warnings = WarningService(
            self.database, self.clock, self.bus, self.audit, self.desk, self.incidents, record=self.record
        )
        self.bus.subscribe(WarningChanged, self.said.append, name="test.warnings")
        self.bus.subscribe(IncidentChanged, self.said.append, name="test.incidents")

    def detect(self, state: str = "raised", severity: str = "yellow", **given: Any) -> Detection:
        """Publish a detection; the occurrence is named by ``raised_s``."""
        self.clock.advance(1)
        raised_s = given.pop("raised_s", 1)
        entity = given.pop("entity", "drain-1")
        rule = given.pop("rule", "flood/level")
        urn = f"urn:ngsi-ld:WaterLevelObserved:{entity}"
        fields = {
            "at_us": self.clock.now_us(),
            "id": f"{rule}/{urn}/{raised_s}",
            "state": state,
            "rule_id": rule,
            "rule_version": "1",
            "entity_id": urn,
            "entity_type": "WaterLevelObserved",
            "severity": severity,
            "category": "flood",
            "headline": {"en": f"Water at {entity}", "zh": "水位"},
            "description": {"en": "high"},
            "raised_at_us": START + raised_s * S,
            "values": {"waterLevel": 2.5},
            "location": HERE,
        }
        detection = Detection(**{**fields, **given})
        self.bus.publish(detection)
        return detection

    def pump(self, approval: str = "person") -> ProposedCommand:
        effect = {"entity_id": "urn:ngsi-ld:Pump:p", "property": "powerState", "value": "on", "within_s": 60.0}
        return ProposedCommand("dev-1", "switch", {"power": "on"}, approval, effect)

    def tell(self, command_id: str, state: str, cause: str | None = None) -> None:
        """Publish a step of a command."""
        command = self.desk.command(command_id, state, cause)
        self.bus.publish(CommandChanged(at_us=self.clock.now_us(), command=command))

    def all_warnings(self, **wanted: Any) -> list[Any]:
        from gulou.operations.incidents import WarningFilter

        return list(self.warnings.list(WarningFilter(**wanted), self.admin).items)

    def all_incidents(self, **wanted: Any) -> list[Any]:
        from gulou.operations.incidents import IncidentFilter

        return list(self.incidents.list(IncidentFilter(**wanted), self.admin).items)

    def lines(self, incident_id: str) -> list[str]:
        return [one.kind for one in self.incidents.timeline(incident_id, self.admin)]

    def person(self, *actions: str, department: str | None = None, name: str = "li") -> Principal:
        scope = None if department is None else frozenset({department})
        permissions = tuple(Permission(action, departments=scope) for action in actions)
        return Principal(kind="user", id=name, name=name, permissions=permissions, department=department)


@pytest.fixture
def centre(tmp_path: Any):
    made = Centre(tmp_path)
    yield made
    made.database.close()
