"""Most readings are only noted: whatever the rules, the stream and the crashes, exactly the same is found."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue, expand
from gulou.hub.rules import Detection, RuleService
from gulou.hub.rules.engine import Engine, guards, lanes
from gulou.kernel import Unavailable, VirtualClock
from gulou.kernel.compiled import COMPILED
from gulou.records import Database

S = 1_000_000
START = 1_700_000_000 * S
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-"
TYPE = "WaterLevelObserved"
TEXT = 'category: flood, headline: "{name} {value:.3f} {waterLevel} {limit}"'

RAISED_AGAIN = f"""
rules:
  - {{id: r2, kind: threshold, select: {{type: {TYPE}}}, when: "waterLevel > 0.0", severity: orange,
     clear: "waterLevel > 0.0", hold: 0s, clear_hold: 0s, {TEXT}}}
"""
"""Whose way back is its condition: it is raised and cleared at one instant, more than once."""

numbers = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
durations = st.sampled_from(["0s", "2s", "5s", "9s"])
wheres = st.sampled_from(["", f", id: '{DRAIN}1'", f", id: '{DRAIN}*'", ", where: siteCategory = 'drain'"])


@st.composite
def conditions(draw):
    """A condition on one property, now and then on two."""
    number = lambda: draw(numbers)  # noqa: E731
    return draw(
        st.sampled_from(
            [
                f"waterLevel > {number()}",
                f"waterLevel BETWEEN {number()} AND {number()}",
                f"NOT (waterLevel < {number()} OR waterLevel = {number()})",
                f"waterLevel IN ({number()}, {number()}) OR waterLevel >= {number()}",
                f"waterLevel > {number()} AND flowRate < {number()}",
                f"waterLevel * 2 > {number()}",
                f"previous(waterLevel) < {number()} AND waterLevel > {number()}",
            ]
        )
    )


@st.composite
def bodies(draw):
    """The own keys of one rule, in YAML's flow style."""
    kind = draw(
        st.sampled_from(
            [
                "limits",
                "limits",
                "below",
                "when",
                "when",
                "rate",
                "sliding",
                "tumbling",
                "session",
                "absence",
                "pattern",
            ]
        )
    )
    select = f"select: {{type: {TYPE}{draw(wheres)}}}"
    common = ""
    if draw(st.booleans()) and kind not in ("pattern", "absence"):
        common += f", expires: {draw(st.sampled_from(['7s', '20s']))}"
    if draw(st.booleans()):
        common += ", max_age: 6s"
    hold = f"hold: {draw(durations)}, clear_hold: {draw(durations)}, hysteresis: {draw(st.sampled_from([0, 0.3, 1]))}"
    if kind in ("limits", "below"):
        low = draw(st.sampled_from([0.5, 1.0]))
        levels = f"{{blue: {low}, red: {low + 1}}}" if kind == "limits" else f"{{blue: {low + 1}, red: {low}}}"
        way = "" if kind == "limits" else ", direction: below"
        return f"kind: threshold, {select}, value: waterLevel, levels: {levels}, {hold}{way}{common}"
    if kind == "when":
        clear = f", clear: {draw(conditions())!r}" if draw(st.booleans()) else ""
        held = hold.rpartition(",")[0]
        return f'kind: threshold, {select}, when: "{draw(conditions())}", severity: orange{clear}, {held}{common}'
    if kind == "rate":
        return f"kind: rate, {select}, of: waterLevel, over: 8s, per: 4s, levels: {{yellow: 1.5}}{common}"
    if kind in ("sliding", "tumbling", "session"):
        gap = "gap: 3s, " if kind == "session" else ""
        function = draw(st.sampled_from(["mean", "min", "max", "sum", "count"]))
        return (
            f"kind: window, {select}, of: waterLevel, function: {function}, over: 8s, window: {kind}, {gap}"
            f"levels: {{yellow: {draw(numbers)}}}, {hold}{common}"
        )
    if kind == "absence":
        heard = draw(st.sampled_from(["", ", property: waterLevel"]))
        return f"kind: absence, {select}, levels: {{blue: 4s, red: 11s}}{heard}{common}"
    step = f"type: {TYPE}, when: waterLevel"
    steps = f"[{{name: a, {step} > {draw(numbers)}}}, {{name: b, {step} < {draw(numbers)}}}]"
    return f"kind: pattern, steps: {steps}, within: 9s, severity: red, join: this{common}"


@st.composite
def packs(draw):
    """A file of some rules."""
    found = draw(st.lists(bodies(), min_size=1, max_size=6))
    lines = [f"  - {{id: r{n}, {body}, {TEXT}}}" for n, body in enumerate(found)]
    return "rules:\n" + "\n".join(lines) + "\n"


def stream(seed, length):
    """Batches of rows: mostly in order, some late, some twice, some silence; and ticks between."""
    dice = random.Random(seed)
    now_us, walk = START, {}
    for _ in range(length):
        now_us += dice.choice([0, S // 2, S, S, S, 3 * S, 15 * S])
        rows = []
        for _ in range(dice.choice([1, 1, 2, 5, 12])):
            entity, name = dice.randrange(3), dice.choice(["waterLevel", "waterLevel", "waterLevel", "flowRate"])
            value = walk.get((entity, name), 1.0) + dice.choice([0, 0.01, -0.01, 0.1, -0.1, 0.6, -0.6])
            value = walk[entity, name] = min(3.5, max(-0.5, round(value, 2)))
            late_us = dice.choice([0, 0, 0, 0, 0, 0, 1, S, 2 * S, 8 * S, -3 * S])
            if dice.random() < 0.1:
                now_us += 1
            rows.append((entity, name, now_us - late_us + dice.choice([0, 0, 1, 2]), value))
        yield dice.choice("rrrrrrt"), now_us, rows


def columns(catalogue, rows):
    numbered = [catalogue.number_of(f"{DRAIN}{entity}", TYPE, name, "device") for entity, name, _, _ in rows]
    return Columns(
        np.array(numbered, np.int32),
        np.array([at_us for _, _, at_us, _ in rows], np.int64),
        np.array([value for *_, value in rows], np.float64),
    )


def told(findings):
    return sorted((one.detection.at_us, repr(one.detection), repr(one.explanation)) for one in findings)


def city_of(kit):
    city = kit.City()
    for n in range(3):
        city.entities[f"{DRAIN}{n}"] = {"name": f"Drain {n}", "siteCategory": "drain" if n else "river"}
    return city


def change(city, number):
    """The city changes under the rules' feet."""
    if number % 23 == 11:
        one = city.entities[f"{DRAIN}{number % 3}"]
        one["siteCategory"] = "river" if one["siteCategory"] == "drain" else "drain"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=packs(), seed=st.integers(0, 2**32), plain=st.booleans(), objects=st.booleans())
def test_bands_find_what_judging_everything_finds(kit, monkeypatch, text, seed, plain, objects):
    with monkeypatch.context() as patch:
        if plain and COMPILED:
            patch.setattr(lanes.guards, "sift", guards.sift.py_func)
            patch.setattr(lanes.guards, "copy_block", guards.copy_block.py_func)
        rules, catalogue = kit.parse(text), SeriesCatalogue()
        cities = city_of(kit), city_of(kit)
        plainly, banded = Engine(cities[0]), Engine(cities[1], series=catalogue)
        for engine in (plainly, banded):
            engine.replace(rules.pack, rules.rules)
        for number, (what, now_us, rows) in enumerate(stream(seed, 60)):
            change(cities[0], number)
            change(cities[1], number)
            if what == "t":
                assert plainly.has_due(now_us) == banded.has_due(now_us)
                plainly.advance(now_us)
                banded.advance(now_us)
            else:
                batch = LogBatch(number + 1, now_us, "test", (), columns=columns(catalogue, rows))
                expanded = expand(batch, catalogue)
                plainly.apply(expanded)
                banded.apply(expanded if objects and number % 5 == 0 else batch)
            one, other = plainly.take_found()[0], banded.take_found()[0]
            assert told(one) == told(other)


class World:
    """A log and a rule service that can crash; rows come as columns, or (``objects``) as readings all judged."""

    def __init__(self, kit, path, text, *, objects):
        self.clock = VirtualClock(START)
        self.database = Database.at(path)
        self.database.create_tables()
        self.city, self.rules, self.objects = city_of(kit), kit.parse(text), objects
        self.catalogue = SeriesCatalogue()
        self.log, self.told, self.differing = [], {}, []
        self.begin()

    def begin(self):
        bus = MemoryBus()
        bus.subscribe(Detection, self.hear, name="test")
        self.service = RuleService(self.database, self.clock, bus, self.city, series=self.catalogue)
        self.service.load(self.rules)
        self.service.start(len(self.log))
        for batch in self.log[self.service.position() :]:
            self.service.apply(batch)

    def hear(self, detection):
        key = detection.key()
        if self.told.setdefault(key, detection) != detection:
            self.differing.append((self.told[key], detection))

    def play(self, seed, keeps, failures, crashes):
        for number, (what, now_us, rows) in enumerate(stream(seed, 80)):
            self.clock.set_us(now_us)
            if what == "t":
                self.service.tick(now_us)
            else:
                batch = LogBatch(len(self.log) + 1, now_us, "test", (), columns=columns(self.catalogue, rows))
                self.log.append(expand(batch, self.catalogue) if self.objects else batch)
                self.service.apply(self.log[-1])
            if number in keeps:
                self.keep(fails=number in failures)
            if number in crashes:
                self.begin()
        self.database.close()

    def keep(self, *, fails):
        store = self.service._store
        if fails:  # everything is staged, and the last step cannot be done
            store.checkpoint = self.refuse
        with suppress(Unavailable):  # what the checkpoint before met
            self.service.checkpoint()
        self.service.wait_kept()
        vars(store).pop("checkpoint", None)

    def refuse(self, page):
        raise Unavailable("rules.store_failed", detail="full")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text=RAISED_AGAIN, seed=1)
@given(text=packs(), seed=st.integers(0, 2**32))
def test_crashes_and_checkpoints_at_random_places_change_nothing(kit, tmp_path_factory, text, seed):
    folder, chance = tmp_path_factory.mktemp("world"), random.Random(seed)
    calm = World(kit, folder / "calm.db", text, objects=True)
    calm.play(seed, (), (), ())
    keeps, crashes = set(chance.sample(range(80), 8)), set(chance.sample(range(80), 4))
    rough = World(kit, folder / "rough.db", text, objects=False)
    rough.play(seed, keeps, set(chance.sample(sorted(keeps), 2)), crashes)
    assert calm.differing == rough.differing == []
    assert rough.told == calm.told
