"""Thresholds with hysteresis and hold against a plain reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.rules.engine import Engine
from gulou.hub.rules.engine.levels import LevelsJudge

S = 1_000_000
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
UP = "value: waterLevel\nlevels: {blue: 1, red: 3}"
LEVELS = [("blue", 1.0), ("yellow", 2.0), ("red", 3.0)]


def reference(series, hysteresis, hold, clear_hold, end):
    """Walk second by second over the step function of the readings."""
    switches = [False] * len(LEVELS)
    since = [None] * len(LEVELS)
    severity, told, value = None, [], None
    readings = dict(series)

    def turn(now):
        for index in range(len(LEVELS)):
            wait = clear_hold if switches[index] else hold
            if since[index] is not None and now - since[index] >= wait:
                switches[index], since[index] = not switches[index], None

    def tell(now):
        nonlocal severity
        on = [name for (name, _), lit in zip(LEVELS, switches, strict=True) if lit]
        fresh = on[-1] if on else None
        if fresh != severity:
            told.append(
                ("raised" if severity is None else "cleared" if fresh is None else "changed", fresh or severity, now)
            )
            severity = fresh

    for now in range(end + 1):
        turn(now)  # what fell due with the old value comes before the new one
        tell(now)
        if now in readings:
            value = readings[now]
            for index, (_, limit) in enumerate(LEVELS):
                ahead = value < limit - hysteresis if switches[index] else value >= limit
                since[index] = (now if since[index] is None else since[index]) if ahead else None
            turn(now)
            tell(now)
    return told


values = st.integers(0, 16).map(lambda n: n / 4)
series = st.dictionaries(st.integers(0, 60), values, min_size=1, max_size=25).map(lambda d: sorted(d.items()))


@settings(max_examples=250, deadline=None)
@given(
    series=series, hysteresis=st.sampled_from([0.0, 0.25, 0.75]), hold=st.integers(0, 6), clear_hold=st.integers(0, 6)
)
def test_levels_follow_their_definition(kit, series, hysteresis, hold, clear_hold):
    bench = kit.bench(
        kit.rule(
            f"kind: threshold\nselect: {{type: WaterLevelObserved}}\nvalue: waterLevel\n"
            f"levels: {{blue: 1.0, yellow: 2.0, red: 3.0}}\nhysteresis: {hysteresis}\n"
            f"hold: {hold}s\nclear_hold: {clear_hold}s"
        )
    )
    for at, value in series:
        bench.send(at, DRAIN, waterLevel=value)
    bench.tick(80)
    expected = reference(series, hysteresis, hold, clear_hold, 80)
    assert bench.states == [(state, severity) for state, severity, _ in expected]
    raised = [at for state, _, at in expected if state == "raised"]
    assert [one.raised_at_us / kit.S for one in bench.found if one.state == "raised"] == raised


@settings(max_examples=60, deadline=None)
@given(series=series, ticks=st.lists(st.integers(0, 70), max_size=20))
def test_ticks_in_between_change_nothing(kit, series, ticks):
    text = kit.rule(
        "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\n"
        "levels: {blue: 1.0, yellow: 2.0, red: 3.0}\nhysteresis: 0.25\nhold: 3s"
    )
    calm, busy = kit.bench(text), kit.bench(text)
    for at, value in series:
        calm.send(at, DRAIN, waterLevel=value)
    moments = sorted([(at, 1, value) for at, value in series] + [(tick, 0, None) for tick in ticks])
    for at, is_reading, value in moments:
        (busy.send(at, DRAIN, waterLevel=value) if is_reading else busy.tick(at))
    assert calm.tick(90).told == busy.tick(90).told


def test_below_and_a_way_back_of_its_own(kit):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: OffStreetParking}\nvalue: availableSpotNumber\ndirection: below\n"
            "levels: {yellow: 20, red: {at: 5, clear: 30}}"
        )
    )
    for at, free in enumerate([50, 20, 21, 4, 25, 31]):
        bench.send(at, "urn:ngsi-ld:OffStreetParking:p", availableSpotNumber=free)
    assert bench.states == [
        ("raised", "yellow"),
        ("cleared", "yellow"),
        ("raised", "red"),
        ("cleared", "red"),
    ]


def test_conditions_over_several_properties_wait_for_all_of_them(kit):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel > 2 AND precipitation >= 10\n"
            "clear: waterLevel < 1\nseverity: orange"
        )
    )
    bench.send(1, DRAIN, waterLevel=2.5)
    assert bench.told == []
    bench.send(2, DRAIN, precipitation=12.0)
    bench.send(3, DRAIN, precipitation=0.0)
    bench.send(4, DRAIN, waterLevel=0.5)
    assert bench.told == [("raised", "orange", 2.0), ("cleared", "orange", 2.0)]
    assert bench.found[0].values == {"waterLevel": 2.5, "precipitation": 12.0}


def test_readings_of_one_moment_are_judged_together(kit):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel - precipitation > 0\nseverity: blue"
        )
    )
    bench.send(1, DRAIN, waterLevel=1.0, precipitation=1.0)
    bench.send(2, DRAIN, waterLevel=5.0, precipitation=5.0)
    assert bench.told == []


def test_an_older_reading_changes_nothing_and_is_counted(kit):
    bench = kit.bench(
        kit.rule("kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}")
    )
    bench.send(10, DRAIN, waterLevel=1.0).send(5, DRAIN, received=11, waterLevel=9.0)
    assert bench.told == []
    assert bench.engine.judges["test/r"].counters.late == 1


def test_a_file_of_the_past_is_not_news(kit):
    bench = kit.bench(
        kit.rule("kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}")
    )
    bench.send(10, DRAIN, received=10 + 3601, waterLevel=9.0)
    assert bench.told == []
    assert bench.engine.judges["test/r"].counters.history == 1


def test_parallel_instances_of_a_property_are_not_judged(kit):
    from gulou.connectivity.intake import LogBatch, Reading

    bench = kit.bench(
        kit.rule("kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}")
    )
    bench.engine.apply(
        LogBatch(1, 0, "t", (Reading(DRAIN, "WaterLevelObserved", "waterLevel", 9.0, 0, dataset_id="urn:x"),))
    )
    assert bench.engine.take_found() == ([], [])


def test_limits_of_the_entity_itself_and_selection_by_attribute(kit):
    city = kit.City()
    city.entities[DRAIN] = {"siteCategory": "drain", "warningLevel": 2.0, "name": {"en": "Drain One", "zh": "一号井"}}
    city.entities["urn:ngsi-ld:WaterLevelObserved:river"] = {"siteCategory": "river", "warningLevel": 1.0}
    text = kit.rule(
        "kind: threshold\nselect: {type: WaterLevelObserved, where: siteCategory = 'drain'}\n"
        "when: waterLevel > warningLevel\nseverity: orange\n"
        "description: {en: '{name} {waterLevel:.1f}/{warningLevel:.1f} {severity} {flowRate}', zh: '{name}{severity}'}"
    )
    bench = kit.bench(text, city)
    bench.send(1, "urn:ngsi-ld:WaterLevelObserved:river", waterLevel=9.0)
    bench.send(1, "urn:ngsi-ld:WaterLevelObserved:unknown", waterLevel=9.0)
    bench.send(1, DRAIN, waterLevel=2.25)
    assert [one.entity_id for one in bench.found] == [DRAIN]
    assert bench.found[0].description == {"en": "Drain One 2.2/2.0 orange –", "zh": "一号井橙色"}
    assert bench.found[0].headline == {"en": "Drain One"}


@pytest.mark.parametrize(("glob", "count"), [("urn:ngsi-ld:WaterLevelObserved:drain-*", 2), (DRAIN, 1), ("*:river", 0)])
def test_selection_by_id(kit, glob, count):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nvalue: waterLevel\nlevels: {red: 3}\n"
            f"select: {{type: WaterLevelObserved, id: '{glob}'}}"
        )
    )
    for name in ("drain-1", "drain-2"):
        bench.send(1, f"urn:ngsi-ld:WaterLevelObserved:{name}", waterLevel=4.0)
    assert len(bench.found) == count


def test_a_stale_input_is_unknown(kit):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel > 2 AND precipitation > 1\n"
            "severity: red\nfresh: 10s"
        )
    )
    bench.send(0, DRAIN, precipitation=5.0).send(20, DRAIN, waterLevel=3.0)
    assert bench.told == []
    bench.send(21, DRAIN, precipitation=5.0)
    assert bench.told == [("raised", "red", 21.0)]


def test_a_warning_whose_inputs_fall_silent_expires(kit):
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}\nexpires: 30s"
        )
    )
    bench.send(0, DRAIN, waterLevel=4.0).tick(29.9)
    assert bench.states == [("raised", "red")]
    bench.tick(30)
    assert bench.states[-1] == ("cleared", "red")
    bench.send(40, DRAIN, waterLevel=4.0)
    assert bench.told[-1] == ("raised", "red", 40.0)


def test_commands_go_out_once_when_their_severity_is_reached(kit):
    city = kit.City()
    city.entities[DRAIN] = {}
    city.entities["urn:ngsi-ld:Pump:p1"] = {"drains": DRAIN}
    city.entities["urn:ngsi-ld:Pump:p2"] = {"drains": DRAIN}
    city.devices = {"urn:ngsi-ld:Pump:p1": "dev-1", DRAIN: "gauge"}
    bench = kit.bench(
        kit.rule(
            "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {blue: 1, orange: 2}\n"
            "incident: {open: orange, department: water, deadline: 2h}\n"
            "commands:\n"
            "  - target: {type: Pump, where: drains = this}\n    name: switch\n    parameters: {power: on}\n"
            "    at: orange\n    approval: person\n    effect: {property: powerState, value: on}\n"
            "  - {target: this, name: sample, approval: none}\n"
            "  - {target: this, name: rest, approval: none, upon: cleared, at: orange}"
        ),
        city,
    )
    for at, level in enumerate([1.5, 2.5, 1.5, 2.5, 0.5]):
        bench.send(at, DRAIN, waterLevel=level)
    assert bench.states == [
        ("raised", "blue"), ("changed", "orange"), ("changed", "blue"), ("changed", "orange"), ("cleared", "orange"),
    ]  # fmt: skip
    assert [[(one.device_id, one.name) for one in found.commands] for found in bench.found] == [
        [("gauge", "sample")],
        [("dev-1", "switch")],
        [],
        [],
        [("gauge", "rest")],
    ]
    switch = bench.found[1].commands[0]
    assert (switch.approval, switch.parameters, switch.effect["entity_id"]) == (
        "person",
        {"power": "on"},
        "urn:ngsi-ld:Pump:p1",
    )
    assert [one.opens_incident for one in bench.found] == [False, True, False, True, False]
    assert (bench.found[1].department, bench.found[1].deadline_s) == ("water", 7200.0)


def test_a_rule_that_fails_is_put_aside_and_the_others_go_on(kit):
    text = kit.rule("kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {red: 3}")
    bench = kit.bench(text + text.partition("rules:\n")[2].replace("id: r", "id: other"))

    class Broken(LevelsJudge):
        __slots__ = ()

        def judge(self, state):
            raise TypeError("defect")

    bench.engine.judges["test/r"].__class__ = Broken
    for at in range(5):
        bench.send(at, DRAIN, waterLevel=float(at))
    assert bench.engine.judges["test/r"].quarantined == "TypeError: defect"
    assert [one.rule_id for one in bench.found] == ["test/other"]


def batch_of(bench, *readings):
    """Several readings of the drain (s, value) that came in one batch."""
    rows = tuple(Reading(DRAIN, "WaterLevelObserved", "waterLevel", value, at * S) for at, value in readings)
    bench.sequence += 1
    bench.engine.apply(LogBatch(bench.sequence, 100 * S, "test", rows))
    return bench._collect()


def test_each_change_in_one_batch_is_another_message(kit):
    bench = kit.bench(kit.rule(f"kind: threshold\nselect: {{type: WaterLevelObserved, id: '{DRAIN}'}}\n" + UP))
    batch_of(bench, (1, 1.0), (2, 3.0), (3, 1.0), (4, 3.0))
    assert bench.states == [("raised", "blue"), ("changed", "red"), ("changed", "blue"), ("changed", "red")]
    assert [one.n for one in bench.found] == [0, 1, 2, 3]
    assert len({one.id for one in bench.found}) == 1
    assert len({one.key() for one in bench.found}) == 4


def test_what_is_raised_again_at_the_same_instant_is_another_occurrence(kit):
    bench = kit.bench(kit.rule(f"kind: threshold\nselect: {{type: WaterLevelObserved, id: '{DRAIN}'}}\n" + UP))
    for value in (1.0, 0.0, 1.0, 0.0, 1.0):  # a reading that is corrected again and again
        batch_of(bench, (7, value))
    batch_of(bench, (8, 0.0), (9, 1.0))
    name = f"test/r/{DRAIN}"
    assert [(one.state, one.id) for one in bench.found] == [
        ("raised", f"{name}/7000000"),
        ("cleared", f"{name}/7000000"),
        ("raised", f"{name}/7000000/1"),
        ("cleared", f"{name}/7000000/1"),
        ("raised", f"{name}/7000000/2"),
        ("cleared", f"{name}/7000000/2"),
        ("raised", f"{name}/9000000"),
    ]


def test_a_limit_remembers_an_occurrence_for_as_long_as_its_instant_can_be_corrected(kit):
    """Far from its limit a plain limit keeps no state; it does while the same instant may raise once more."""
    bench = kit.bench(kit.rule("kind: threshold\nselect: {type: WaterLevelObserved}\n" + UP))
    catalogue = SeriesCatalogue()
    engine = Engine(bench.city, series=catalogue)
    engine.replace("test", [judge.rule for judge in bench.engine.judges.values()])
    number = catalogue.number_of(DRAIN, "WaterLevelObserved", "waterLevel", "device")
    kept = []
    for sequence, (at, value) in enumerate([(7, 1.0), (7, 0.0), (7, 1.0), (7, 0.0), (8, 0.0), (9, 0.0)], 1):
        columns = Columns(np.array([number], np.int32), np.array([at * S], np.int64), np.array([value]))
        engine.apply(LogBatch(sequence, 100 * S, "test", (), columns=columns))
        kept.append(len(engine.judges["test/r"].states))
    found = [one.detection.id.rpartition(DRAIN)[2] for one in engine.take_found()[0]]
    assert found == ["/7000000", "/7000000", "/7000000/1", "/7000000/1"]
    assert kept[3] == 1
    assert kept[-1] == 0
