"""Rules that fail or cost too much are put aside, stay so over restarts, and begin anew when a person says so."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest

from gulou.access import Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import LogBatch, Reading, SeriesCatalogue
from gulou.hub.rules import Detection, RuleQuarantined, RuleReleased, RuleService, RuleSettings
from gulou.hub.rules.engine import engine as engine_module
from gulou.kernel import Conflict, Denied, NotFound, Unavailable, VirtualClock
from gulou.records import Database

S = 1_000_000
START = 1_700_000_000 * S
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
LEVEL = "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}"


class World:
    def __init__(self, kit, path, **settings):
        self.kit, self.clock, self.bus = kit, VirtualClock(START), MemoryBus()
        self.database = Database.at(path)
        self.database.create_tables()
        self.settings, self.told, self.sequence = RuleSettings(**settings), [], 0
        for message in (Detection, RuleQuarantined, RuleReleased):
            self.bus.subscribe(message, self.told.append, name=message.__name__)
        self.begin(kit.parse(kit.rule(LEVEL)))

    def begin(self, rules):
        self.service = RuleService(
            self.database, self.clock, self.bus, self.kit.City(), settings=self.settings, series=SeriesCatalogue()
        )
        self.service.load(rules)
        self.service.start(self.sequence)

    def send(self, level):
        self.sequence += 1
        self.clock.advance(1)
        reading = Reading(DRAIN, "WaterLevelObserved", "waterLevel", level, self.clock.now_us())
        self.service.apply(LogBatch(self.sequence, self.clock.now_us(), "test", (reading,)))

    @property
    def kinds(self):
        return [getattr(one, "state", type(one).__name__) for one in self.told]


@pytest.fixture
def world(kit, tmp_path, monkeypatch):
    looks = count(0, 2_000_000)  # each look at the clock is 2 ms after the one before
    monkeypatch.setattr(engine_module, "time", SimpleNamespace(perf_counter_ns=lambda: next(looks)))
    made = World(kit, tmp_path / "r.db", budget_us=1_500.0, budget_readings=3)
    yield made
    made.database.close()


def test_a_rule_over_its_budget_is_put_aside_over_restarts_and_released_by_a_person(world):
    for level in (4.0, 4.1, 4.2, 1.0):
        world.send(level)
    assert world.kinds == ["raised", "RuleQuarantined"]
    view = world.service.get_rule("test", "r")
    assert (view.quarantined, view.active) == ("budget: 2000 µs per reading, 1500 allowed", 1)
    assert world.service.status()["quarantined"] == ["test/r"]
    world.service.close()
    aside = world.told.pop(2)  # once it is durable
    assert (aside.state, aside.entity_type, aside.rule_id, aside.severity) == ("raised", "Rule", "test/r", "yellow")
    assert "2000 µs" in aside.description["en"]
    assert "test/r" in aside.headline["zh"]
    assert world.service.explain(aside.id)[0]["reason"] == view.quarantined

    world.begin(world.kit.parse(world.kit.rule(LEVEL)))
    assert world.service.get_rule("test", "r").quarantined == view.quarantined
    world.send(5.0)
    with pytest.raises(Denied):
        world.service.release("test", "r", Principal(kind="user", id="x", name="x"))
    world.service.release("test", "r")
    assert world.kinds[2:] == ["cleared", "RuleReleased", "cleared"]
    assert world.told.pop().id == aside.id
    assert world.service.get_rule("test", "r").quarantined is None
    world.send(6.0)
    assert world.kinds[4:] == ["raised"]

    world.service.close()
    world.begin(world.kit.parse(world.kit.rule(LEVEL)))
    assert world.service.status()["quarantined"] == []
    assert world.service.get_rule("test", "r").active == 1


def test_a_rule_that_judges_differently_now_is_given_another_chance(world):
    for level in (1.0, 1.1, 1.2):
        world.send(level)
    world.service.load(world.kit.parse(world.kit.rule(LEVEL.replace("red: 3", "red: 3.5"))))
    assert world.service.get_rule("test", "r").quarantined is None
    world.begin(world.kit.parse(world.kit.rule(LEVEL)))
    assert world.service.status()["quarantined"] == []


def test_only_what_is_put_aside_is_released(world):
    with pytest.raises(Conflict) as caught:
        world.service.release("test", "r")
    assert caught.value.code == "rules.not_quarantined"
    with pytest.raises(NotFound):
        world.service.release("test", "nothing")


def test_people_hear_of_it_once_it_is_durable_and_again_when_it_is_over(world, monkeypatch):
    checkpoint = world.service._store.checkpoint
    monkeypatch.setattr(world.service._store, "checkpoint", failing)
    for level in (1.0, 1.1, 1.2):
        world.send(level)
    world.service.close()
    assert world.kinds == ["RuleQuarantined"]
    monkeypatch.setattr(world.service._store, "checkpoint", checkpoint)
    world.service.close()
    world.service.close()
    assert world.kinds == ["RuleQuarantined", "raised"]
    assert [one.state for one in world.service.detections_since(0)] == ["raised"]

    world.begin(world.kit.parse(world.kit.rule(LEVEL.replace("red: 3", "red: 3.5"))))  # changed while all stood still
    world.service.close()
    assert world.kinds == ["RuleQuarantined", "raised", "cleared"]
    assert world.service.status()["quarantined"] == []
    assert {one.id for one in world.service.detections_since(0)} == {world.told[1].id}


def failing(_page):
    raise Unavailable("rules.store_failed", detail="full")
