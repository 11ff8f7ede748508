"""A plain limit keeps no state of what is far from it: its series says all that there is to know."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sqlalchemy import func, select

from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.rules import Detection, RuleService
from gulou.hub.rules.engine.state import Input, Occurrence, State, Switch
from gulou.hub.rules.store_sql import _decode_state
from gulou.hub.rules.tables import rule_states
from gulou.kernel import Unavailable, VirtualClock
from gulou.records import Database

S = 1_000_000
START = 1_700_000_000 * S
TYPE = "WaterLevelObserved"
DRAIN = f"urn:ngsi-ld:{TYPE}:drain-"
LIMIT = "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {orange: 2, red: 3}\nhold: 5s"


class World:
    """A service fed with columns, which can be started again."""

    def __init__(self, kit, folder, *rules):
        text = kit.rule(LIMIT)
        for number, one in enumerate(rules):
            text += kit.rule(one).replace("rules:\n", "").replace("id: r\n", f"id: r{number}\n")
        self.kit, self.rules = kit, kit.parse(text)
        self.database = Database.at(folder / "records.db")
        self.database.create_tables()
        self.clock, self.catalogue, self.log = VirtualClock(START), SeriesCatalogue(), []
        self.begin()

    def begin(self):
        bus = MemoryBus()
        self.told = []
        bus.subscribe(Detection, lambda one: self.told.append((one.entity_id[-1], one.state, one.severity)), name="t")
        self.service = RuleService(self.database, self.clock, bus, self.kit.City(), series=self.catalogue)
        self.service.load(self.rules)
        self.service.start(len(self.log))
        for batch in self.log[self.service.position() :]:
            self.service.apply(batch)

    def send(self, *levels, late_s=0):
        self.clock.advance(1)
        now_us = self.clock.now_us()
        numbers = [self.catalogue.number_of(f"{DRAIN}{n}", TYPE, "waterLevel") for n in range(len(levels))]
        at_us = np.full(len(levels), now_us - late_s * S, np.int64)
        self._apply(columns=Columns(np.array(numbers, np.int32), at_us, np.array(levels, np.float64)))

    def send_object(self, level):
        self.clock.advance(1)
        self._apply((Reading(f"{DRAIN}0", TYPE, "waterLevel", level, self.clock.now_us()),))

    def _apply(self, readings=(), columns=None):
        self.log.append(LogBatch(len(self.log) + 1, self.clock.now_us(), "test", readings, columns=columns))
        self.service.apply(self.log[-1])

    def keep(self):
        self.service.checkpoint()
        self.service.wait_kept()

    @property
    def states(self):
        return self.service.status()["states"]

    @property
    def rows(self):
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(rule_states)).scalar_one()


@pytest.fixture
def world(kit, tmp_path):
    made = World(kit, tmp_path)
    yield made
    made.database.close()


def test_no_state_is_kept_of_what_is_far_from_its_limit(world):
    for level in (0.5, 1.0, 1.9, 0.1):
        world.send(*[level] * 9)
    world.send_object(1.2)
    world.keep()

    assert (world.states, world.rows) == (0, 0)
    assert world.service.get_rule("test", "r").watched == 9


def test_a_state_comes_with_a_crossing_and_goes_when_it_is_over(world):
    world.send(1.0, 1.0, 1.0)
    world.send(2.5, 1.0, 1.0)
    world.keep()
    assert (world.states, world.rows) == (1, 1)

    for _ in range(6):
        world.send(2.5, 1.0, 1.0)
    assert world.told == [("0", "raised", "orange")]
    world.send(1.0, 1.0, 1.0)
    world.send(1.0, 1.0, 1.0)
    world.keep()

    assert world.told[1:] == [("0", "cleared", "orange")]
    assert (world.states, world.rows) == (0, 0)


def test_after_a_crash_the_crossing_goes_on_where_it_was(world):
    world.send(1.0, 1.0)
    world.send(2.5, 1.0)
    world.keep()
    world.send(2.5, 2.5)
    world.begin()
    for _ in range(5):
        world.send(2.5, 2.5)

    assert world.told == [("0", "raised", "orange"), ("1", "raised", "orange")]


def test_what_was_let_go_before_a_crash_does_not_come_back(world):
    world.send(2.5)
    world.keep()
    world.send(1.0)
    world.keep()
    world.begin()

    assert (world.states, world.rows) == (0, 0)


def test_a_late_reading_is_late_although_there_is_no_state(world):
    for level in (1.0, 1.1):
        world.send(level)
    world.send(9.0, late_s=30)

    assert world.service.get_rule("test", "r").counters.late == 1
    assert (world.told, world.states) == ([], 0)


def test_what_was_let_go_and_could_not_be_written_is_deleted_later(world):
    world.send(2.5)
    world.keep()
    world.send(1.0)
    store, checkpoint = world.service._store, world.service._store.checkpoint
    store.checkpoint = lambda page: (_ for _ in ()).throw(_full())
    world.keep()
    assert world.rows == 1
    store.checkpoint = checkpoint
    with pytest.raises(Exception, match="store"):
        world.keep()
    world.keep()

    assert world.rows == 0


def test_beside_a_window_a_limit_is_only_asked_near_its_limit(kit, tmp_path):
    window = "kind: window\nselect: {type: WaterLevelObserved}\nof: waterLevel\nfunction: mean\nover: 60s\n"
    world = World(kit, tmp_path, window + "levels: {yellow: 5}")
    for level in (1.0, 1.2, 1.1, 1.3, 2.5, 1.0):
        world.send(level)
    limit, mean = (world.service.get_rule("test", name) for name in ("r", "r0"))

    assert mean.counters.evaluations == 6
    assert limit.counters.evaluations <= 3
    assert world.states == 1
    world.database.close()


def test_many_limits_on_one_series_each_find_their_own(kit, tmp_path):
    world = World(
        kit, tmp_path, *[LIMIT.replace("orange: 2", f"orange: {2 + n / 10}").replace("5s", "0s") for n in range(9)]
    )
    world.send(1.0)
    world.send(2.45)
    assert world.told == [("0", "raised", "orange")] * 5
    world.send(1.0)
    world.keep()

    assert world.told[5:] == [("0", "cleared", "orange")] * 5
    assert (world.states, world.rows) == (0, 0)
    world.database.close()


def _full():
    return Unavailable("rules.store_failed", detail="full")


def test_states_written_with_names_are_read_too():
    class Named(msgspec.Struct):
        key: str
        inputs: dict[str, Input] = {}
        newest_us: int = 0
        switches: list[Switch] = []
        occurrence: Occurrence | None = None
        heard: dict[str, int] | None = None

    state = State("a", {"level": Input(5, 1.5, 1.0, 7)}, {}, 5, [Switch(True, 3)], Occurrence("o", "a", 3, 2, 2, [1]))
    named = Named("a", state.inputs, 5, state.switches, state.occurrence)

    for written in (state, named):
        assert _decode_state(msgspec.msgpack.encode(written)) == state
    assert _decode_state(msgspec.msgpack.encode(Named("b", heard={"level": 4}))) == State("b", heard={"level": 4})
