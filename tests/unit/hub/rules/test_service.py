"""The rule service: crashes at random points change nothing that anybody is told; packs, explanations, bounds."""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest

from gulou.access import Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import LogBatch, Reading, Receipt
from gulou.hub.rules import Detection, RuleQuery, RuleService, RuleSet
from gulou.kernel import Conflict, Denied, NotFound, Unavailable, VirtualClock
from gulou.records import Database

S = 1_000_000
START = 1_700_000_000 * S
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-"

RULES = """rules:
  - id: level
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {blue: 1, yellow: 2, red: 3}
    hysteresis: 0.4
    hold: 7s
    clear_hold: 3s
    category: flood
    headline: "{name} {value:.3f}"
  - id: rate
    kind: rate
    select: {type: WaterLevelObserved}
    of: waterLevel
    over: 20s
    per: 1m
    levels: {orange: 4}
    category: flood
    headline: "{name}"
  - id: sum
    kind: window
    select: {type: WaterLevelObserved}
    of: waterLevel
    function: sum
    over: 15s
    window: tumbling
    lateness: 2s
    levels: {yellow: 6}
    category: flood
    headline: "{name}"
  - id: silent
    kind: absence
    select: {type: WaterLevelObserved}
    levels: {blue: 9s, yellow: 16s}
    category: health
    headline: "{name}"
  - id: both
    kind: pattern
    steps:
      - {name: a, type: WaterLevelObserved, when: waterLevel > 2}
      - {name: b, type: WaterLevelObserved, when: waterLevel < 1}
    within: 12s
    severity: red
    category: flood
    headline: "{name}"
  - id: double
    kind: derive
    select: {type: WaterLevelObserved}
    property: flowRate
    value: waterLevel * 2
"""


class Intake:
    """Durable at once; remembers what it took by position."""

    def __init__(self):
        self.taken = {}

    def submit(self, submission):
        self.taken.setdefault(submission.position, submission.payloads[0].readings)
        future = Future()
        future.set_result(Receipt(submission.position, 1, 1, 0))
        return future


class World:
    """A log, a record store, and a rule service that can crash."""

    def __init__(self, kit, path, text=RULES):
        self.clock = VirtualClock(START)
        self.database = Database.at(path)
        self.database.create_tables()
        self.city = kit.City()
        self.rules = kit.parse(text)
        self.kit = kit
        self.log = []
        self.intake = Intake()
        self.told = {}
        self.begin()

    def keep(self):
        self.service.checkpoint()
        self.service.wait_kept()

    def begin(self):
        bus = MemoryBus()
        bus.subscribe(Detection, self.hear, name="test")
        self.bus = bus
        self.service = RuleService(self.database, self.clock, bus, self.city, devices=self.city, intake=self.intake)
        self.service.load(self.rules)
        self.service.start(len(self.log))
        for batch in self.log[self.service.position() :]:
            self.service.apply(batch)

    def hear(self, detection):
        """A subscriber keeps what it heard; the same message again must be the very same."""
        key = (detection.id, detection.state, detection.severity, detection.at_us)
        assert self.told.setdefault(key, detection) == detection

    def send(self, entity, level, observed_us=None):
        now_us = self.clock.now_us()
        reading = Reading(f"{DRAIN}{entity}", "WaterLevelObserved", "waterLevel", level, observed_us or now_us)
        self.log.append(LogBatch(len(self.log) + 1, now_us, "test", (reading,)))
        self.service.apply(self.log[-1])


def steps(seed):
    """A day in the life: readings in and out of order, silence, ticks."""
    dice = random.Random(seed)
    for _ in range(220):
        yield dice.choice("rrrrttw"), dice.randrange(3), round(dice.uniform(0, 4), 3), dice.choice([0, 0, 0, 1, 4])


def play(world, seed, crashes, checkpoints):
    for number, (what, entity, level, late) in enumerate(steps(seed)):
        world.clock.advance(0.7)
        if what == "r":
            world.send(entity, level, world.clock.now_us() - late * S)
        elif what == "t":
            world.service.tick(world.clock.now_us())
        else:
            world.clock.advance(5)
        if number in checkpoints:
            world.keep()
        if number in crashes:
            world.begin()
    world.clock.advance(100)
    world.service.tick(world.clock.now_us())


@pytest.mark.parametrize("seed", range(6))
def test_crashes_at_random_points_lose_nothing_and_tell_nothing_twice(kit, tmp_path, seed):
    calm = World(kit, tmp_path / "calm.db")
    play(calm, seed, (), ())
    dice = random.Random(1000 + seed)
    crashes, checkpoints = set(dice.sample(range(220), 6)), set(dice.sample(range(220), 12))
    rough = World(kit, tmp_path / "rough.db")
    play(rough, seed, crashes, checkpoints)
    assert len(calm.told) > 30
    assert {one.rule_id for one in calm.told.values()} == {
        f"test/{name}" for name in ("level", "rate", "sum", "silent", "both")
    }
    assert rough.told == calm.told
    assert rough.intake.taken == calm.intake.taken
    assert rough.service.status()["states"] == calm.service.status()["states"]
    calm.database.close()
    rough.database.close()


@pytest.fixture
def world(kit, tmp_path):
    made = World(kit, tmp_path / "records.db")
    yield made
    made.database.close()


def found(world, rule=None):
    return [(one.rule_id, one.state) for one in world.told.values() if rule in (None, one.rule_id)]


def test_a_batch_that_comes_again_changes_nothing(world):
    world.send(0, 3.5)
    before = world.service.status()
    world.service.apply(world.log[0])
    assert world.service.status() == before


def test_ticks_wait_for_the_replay(world):
    world.send(0, 3.5)
    world.clock.advance(100)
    service = RuleService(world.database, world.clock, world.bus, world.city)
    service.load(world.rules)
    service.start(1)
    service.tick(world.clock.now_us())
    assert found(world) == []
    service.apply(world.log[0])
    service.tick(world.clock.now_us())
    assert ("test/level", "raised") in found(world)


def test_a_long_stop_is_no_silence(world):
    world.send(0, 0.5)
    world.keep()
    world.clock.advance(7200)
    world.begin()
    world.service.tick(world.clock.now_us())
    world.clock.advance(8)
    world.service.tick(world.clock.now_us())
    assert found(world, "test/silent") == []
    world.clock.advance(1)
    world.service.tick(world.clock.now_us())
    assert found(world, "test/silent") == [("test/silent", "raised")]


def test_removing_a_pack_clears_what_it_raised(world):
    world.send(0, 3.5)
    world.clock.advance(10)
    world.service.tick(world.clock.now_us())
    world.service.remove("test")
    assert found(world, "test/level") == [("test/level", "raised"), ("test/level", "cleared")]
    assert world.service.rules().views == []
    world.rules = world.kit.parse("rules: []")
    world.begin()
    assert len(found(world, "test/level")) == 2


def test_a_rule_that_went_away_while_stopped_is_cleared_at_start(world):
    world.send(0, 3.5)
    world.clock.advance(10)
    world.service.tick(world.clock.now_us())
    world.keep()
    world.rules = world.kit.parse(RULES.replace("id: level", "id: other"))
    world.begin()
    assert found(world, "test/level") == [("test/level", "raised"), ("test/level", "cleared")]
    world.keep()
    before = len(world.told)
    world.begin()
    assert len(world.told) == before


def test_a_new_wording_keeps_the_state_and_a_new_limit_does_not(world):
    world.send(0, 3.5)
    world.clock.advance(10)
    world.service.tick(world.clock.now_us())
    world.service.load(world.kit.parse(RULES.replace('"{name} {value:.3f}"', '"other"')))
    assert found(world, "test/level") == [("test/level", "raised")]
    world.service.load(world.kit.parse(RULES.replace("red: 3}", "red: 3.1}")))
    assert found(world, "test/level")[-1] == ("test/level", "cleared")


def test_a_broken_pack_leaves_the_running_one_alone(world, kit):
    with pytest.raises(Exception, match=r"document\.broken"):
        world.service.load(kit.parse(RULES.replace("kind: rate", "kind: rat")))
    assert world.service.rules().total == 6


def test_packs_may_not_derive_in_a_circle_together(world, kit):
    text = (
        "rules:\n  - {id: b, kind: derive, select: {type: WaterLevelObserved}, property: waterLevel, value: flowRate}\n"
    )
    with pytest.raises(Conflict) as caught:
        world.service.load(RuleSet.parse({"a.yaml": text}, kit.vocabulary, pack="other"))
    assert caught.value.code == "rules.derive_conflict"
    assert world.service.rules(RuleQuery(pack="other")).views == []


def test_a_detection_is_explained(world):
    world.send(0, 3.5)
    world.clock.advance(10)
    world.service.tick(world.clock.now_us())
    detection = next(one for one in world.told.values() if one.rule_id == "test/level")
    for _ in range(2):
        (told,) = world.service.explain(detection.id)
        assert told["inputs"]["waterLevel"]["value"] == 3.5
        assert [(one["severity"], one["on"], one["limit"]) for one in told["levels"]] == [
            ("blue", True, 1.0), ("yellow", True, 2.0), ("red", True, 3.0),
        ]  # fmt: skip
        world.keep()
    with pytest.raises(NotFound):
        world.service.explain("nothing")


def test_kept_detections_can_be_asked_for_again(world):
    world.send(0, 3.5)
    world.clock.advance(10)
    world.service.tick(world.clock.now_us())
    world.keep()
    assert world.service.detections_since(0) == list(world.told.values())
    assert world.service.detections_since(world.clock.now_us() + 1) == []


def test_looking_needs_a_permission_and_counts_are_shown(world):
    world.send(0, 3.5)
    world.send(0, 3.5, world.clock.now_us() - 5 * S)
    nobody = Principal(kind="user", id="x", name="x")
    for look in (
        lambda: world.service.rules(principal=nobody),
        lambda: world.service.get_rule("test", "level", nobody),
        lambda: world.service.explain("x", nobody),
    ):
        with pytest.raises(Denied):
            look()
    view = world.service.get_rule("test", "level")
    assert (view.counters.taken, view.counters.late, view.watched, view.quarantined) == (1, 1, 1, None)
    with pytest.raises(NotFound):
        world.service.get_rule("test", "nothing")


def test_what_cannot_be_written_down_is_not_told(world):
    from gulou.hub.rules.tables import rule_ticks

    world.send(0, 3.5)
    world.clock.advance(8)
    rule_ticks.drop(world.database.engine)
    with pytest.raises(Unavailable):
        world.service.tick(world.clock.now_us())
    assert found(world) == []
    rule_ticks.create(world.database.engine)
    world.service.tick(world.clock.now_us())
    assert found(world) == [("test/level", "raised")]


def test_a_checkpoint_waits_while_very_much_changes(kit, tmp_path):
    from gulou.hub.rules import RuleSettings

    database = Database.at(tmp_path / "r.db")
    database.create_tables()
    clock = VirtualClock(START)
    settings = RuleSettings(checkpoint_states=2, checkpoint_seconds=10)
    service = RuleService(database, clock, MemoryBus(), kit.City(), settings=settings)
    service.load(kit.parse(RULES))
    service.start(0)
    readings = tuple(Reading(f"{DRAIN}{n}", "WaterLevelObserved", "waterLevel", 0.5, START) for n in range(5))
    service.apply(LogBatch(1, START, "t", readings))
    service.checkpoint()
    service.wait_kept()
    assert service.position() == 0
    clock.advance(10)
    service.checkpoint()
    service.wait_kept()
    assert service.position() == 1
    database.close()
