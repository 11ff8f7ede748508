"""Absence, geofence, pattern, derive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
CAR = "urn:ngsi-ld:Vehicle:v1"


def point(longitude, latitude=0.5):
    return {"type": "Point", "coordinates": [longitude, latitude]}


# ---- absence

ABSENCE = "kind: absence\nselect: {type: WaterLevelObserved}\nlevels: {blue: 10s, red: 30s}"


def test_silence_is_noticed_by_the_clock_and_ended_by_a_reading(kit):
    bench = kit.bench(kit.rule(ABSENCE + "\ndescription: '{duration} over {limit}'"))
    bench.send(100, DRAIN, waterLevel=1.0).tick(109.9)
    assert bench.told == []
    bench.tick(110).tick(129).tick(131)
    bench.send(140, DRAIN, waterLevel=1.0)
    assert bench.told == [("raised", "blue", 110.0), ("changed", "red", 110.0), ("cleared", "red", 110.0)]
    assert bench.found[1].description == {"en": "30s over 30s"}


def test_a_late_reading_does_not_end_a_silence(kit):
    bench = kit.bench(kit.rule(ABSENCE))
    bench.send(100, DRAIN, waterLevel=1.0).tick(115).send(99, DRAIN, received=116, waterLevel=1.0)
    assert bench.states == [("raised", "blue")]


def test_time_when_nobody_listened_is_no_silence(kit):
    bench = kit.bench(kit.rule(ABSENCE))
    bench.send(100, DRAIN, waterLevel=1.0)
    bench.engine.resume(5000 * kit.S)
    bench.tick(5009)
    assert bench.told == []
    bench.tick(5010)
    assert bench.told == [("raised", "blue", 5010.0)]


def test_only_the_named_property_counts(kit):
    bench = kit.bench(kit.rule(ABSENCE + "\nproperty: waterLevel"))
    bench.send(100, DRAIN, waterLevel=1.0).send(105, DRAIN, flowRate=1.0).tick(110)
    assert bench.told == [("raised", "blue", 110.0)]


@pytest.mark.parametrize(("expect", "count"), [("seen", 0), ("known", 1)])
def test_entities_that_were_never_heard(kit, expect, count):
    city = kit.City()
    city.entities[DRAIN] = {}
    bench = kit.bench(kit.rule(ABSENCE + f"\nexpect: {expect}"), city)
    bench.tick(100)
    list(bench.engine.watch_known())
    bench.tick(111)
    assert len(bench.found) == count


# ---- geofence

SQUARE = "{type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}"


def fence(kit, event, more="", city=None):
    text = f"kind: geofence\nselect: {{type: Vehicle}}\narea: {{polygon: {SQUARE}}}\nseverity: yellow\n"
    text += f"event: {event}\n{more}"
    return kit.bench(kit.rule(text), city)


@pytest.mark.parametrize(
    ("event", "track", "expected"),
    [
        ("inside", [0.5, 0.6, 2.0], ["raised", "cleared"]),
        ("outside", [0.5, 2.0, 0.5], ["raised", "cleared"]),
        ("enter", [0.5, 2.0, 0.5, 2.0], ["raised", "cleared"]),
        ("enter", [2.0, 1.0], ["raised"]),
        ("leave", [2.0, 0.5, 2.0], ["raised"]),
        ("leave", [2.0, 2.0], []),
    ],
)
def test_sides_of_an_area(kit, event, track, expected):
    bench = fence(kit, event)
    for at, longitude in enumerate(track):
        bench.send(at, CAR, location=point(longitude))
    assert [state for state, _ in bench.states] == expected


@settings(max_examples=60, deadline=None)
@given(track=st.lists(st.booleans(), max_size=15))
def test_entering_needs_to_have_been_outside(kit, track):
    bench = fence(kit, "enter")
    expected, armed, lit = [], False, False
    for at, inside in enumerate(track):
        bench.send(at, CAR, location=point(0.5 if inside else 5.0))
        expected += ["raised"] if inside and armed and not lit else ["cleared"] if lit and not inside else []
        lit = inside and (lit or armed)
        armed = not inside
    assert [state for state, _ in bench.states] == expected


def test_a_further_condition_and_a_hold(kit):
    bench = fence(kit, "inside", "and: speed > 30\nhold: 10s")
    bench.send(0, CAR, location=point(0.5))
    bench.send(1, CAR, speed=50.0).tick(10.9)
    assert bench.told == []
    bench.tick(11)
    bench.send(12, CAR, speed=10.0)
    assert bench.told == [("raised", "yellow", 11.0), ("cleared", "yellow", 11.0)]
    assert bench.found[0].location == point(0.5)


def test_the_area_of_an_entity(kit):
    city = kit.City()
    city.entities["urn:ngsi-ld:District:d1"] = {
        "location": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    }
    bench = kit.bench(
        kit.rule(
            "kind: geofence\nselect: {type: Vehicle}\nevent: inside\nseverity: red\n"
            "area: {entity: 'urn:ngsi-ld:District:d1'}"
        ),
        city,
    )
    bench.send(0, CAR, location=point(3.0)).send(1, CAR, location=point(0.5))
    assert bench.told == [("raised", "red", 1.0)]


def test_a_position_that_is_none_says_nothing(kit):
    bench = fence(kit, "outside")
    bench.send(0, CAR, location={"type": "Point"})
    assert bench.told == []


# ---- pattern

RAIN, LEVEL = "urn:ngsi-ld:WeatherObserved:w1", DRAIN


def pattern(kit, order="sequence", join="", city=None, more=""):
    return kit.bench(
        kit.rule(
            "kind: pattern\nsteps:\n"
            "  - {name: rain, type: WeatherObserved, when: precipitation >= 10}\n"
            "  - {name: rise, type: WaterLevelObserved, when: waterLevel > 2}\n"
            "  - {name: jam, type: TrafficFlowObserved, when: averageVehicleSpeed < 10}\n"
            f"order: {order}\nwithin: 30s\nlateness: 100s\nseverity: orange\n{join}\n{more}"
        ),
        city,
    )


SENDERS = [
    (RAIN, "precipitation", 12.0),
    (LEVEL, "waterLevel", 2.5),
    ("urn:ngsi-ld:TrafficFlowObserved:t", "averageVehicleSpeed", 5.0),
]
happenings = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99)), max_size=14, unique=True)


@settings(max_examples=200, deadline=None)
@given(happenings=happenings, order=st.sampled_from(["sequence", "any"]))
def test_a_pattern_is_found_in_whatever_order_its_readings_arrive(kit, happenings, order):
    bench = pattern(kit, order, more="clear_after: 1h")
    newest = [-1, -1, -1]
    taken = [[], [], []]
    found = False
    for number, (step, at) in enumerate(happenings):
        # entities of their own, so that no series gets an older reading
        sender, name, value = SENDERS[step]
        bench.send(at, f"{sender}-{number}", received=100, **{name: value})
        newest[step] = max(newest[step], at)
        taken[step].append(at)
        found = found or any(
            max(chain) - min(chain) <= 30 and (order == "any" or list(chain) == sorted(chain))
            for chain in itertools.product(*taken)
        )
    assert bool(bench.found) == found


def test_a_pattern_tells_of_its_subject_and_clears_when_it_stops_happening(kit):
    bench = pattern(kit, more="description: '{rain.precipitation:.0f} then {rise.waterLevel}'\nsubject: rise")
    bench.send(0, RAIN, precipitation=12.0)
    bench.send(10, LEVEL, waterLevel=2.5)
    bench.send(20, SENDERS[2][0], averageVehicleSpeed=5.0)
    bench.send(25, SENDERS[2][0], averageVehicleSpeed=4.0)
    bench.tick(54.9)
    assert [(one.state, one.entity_id) for one in bench.found] == [("raised", LEVEL)]
    assert bench.found[0].description == {"en": "12 then 2.5"}
    bench.tick(55)
    assert bench.states[-1] == ("cleared", "orange")


def test_only_what_belongs_together_is_brought_together(kit):
    city = kit.City()
    for name, district in ((RAIN, "d1"), (LEVEL, "d1"), (LEVEL + "x", "d2"), (SENDERS[2][0], "d1")):
        city.entities[name] = {"refDistrict": f"urn:ngsi-ld:District:{district}"}
    bench = pattern(kit, join="join: refDistrict", city=city)
    bench.send(0, RAIN, precipitation=12.0).send(1, LEVEL + "x", waterLevel=3.0)
    bench.send(2, SENDERS[2][0], averageVehicleSpeed=5.0)
    assert bench.told == []
    bench.send(1.5, LEVEL, received=3, waterLevel=3.0)
    assert bench.told == [("raised", "orange", 2.0)]


def test_two_things_at_one_entity(kit):
    bench = kit.bench(
        kit.rule(
            "kind: pattern\nsteps:\n"
            "  - {name: low, type: WaterLevelObserved, when: waterLevel < 1}\n"
            "  - {name: high, type: WaterLevelObserved, when: waterLevel > 2}\n"
            "join: this\nwithin: 10s\nseverity: red"
        )
    )
    bench.send(0, DRAIN, waterLevel=0.5).send(5, DRAIN + "x", waterLevel=3.0)
    assert bench.told == []
    bench.send(9, DRAIN, waterLevel=3.0)
    assert [(one.entity_id, one.raised_at_us) for one in bench.found] == [(DRAIN, 9 * kit.S)]


# ---- derive

AIR = "urn:ngsi-ld:AirQualityObserved:a1"
TABLES = """tables:
  - {id: a, edition: x, points: [[0, 0], [35, 50], [75, 100], [500, 500]]}
  - {id: b, edition: x, points: [[0, 0], [50, 50], [150, 100], [600, 500]]}
"""


def test_an_index_is_computed_and_can_be_judged(kit):
    bench = kit.bench(
        TABLES
        + """rules:
  - {id: aqi, kind: derive, select: {type: AirQualityObserved}, property: airQualityIndex, decimals: 0,
     value: "GREATEST(PIECEWISE('a', mean_over(pm25, '1h')), PIECEWISE('b', pm10))"}
"""
    )
    bench.send(0, AIR, pm25=35.0)
    bench.send(600, AIR, pm25=75.0, pm10=60.0)
    assert [(one.property, one.value, one.observed_at_us) for one in bench.derived] == [
        ("airQualityIndex", 50.0, 0),
        ("airQualityIndex", 75.0, 600 * kit.S),
    ]


def test_a_derived_property_is_computed_at_most_so_often_and_not_twice_the_same(kit):
    bench = kit.bench(
        "rules:\n  - {id: d, kind: derive, select: {type: AirQualityObserved}, property: pm10,\n"
        "     value: pm25 * 2, every: 1m}\n"
    )
    for at in (0, 30, 59, 60, 61):
        bench.send(at, AIR, pm25=float(at))
    bench.send(60, AIR, received=62, pm25=60.0)
    assert [one.observed_at_us / kit.S for one in bench.derived] == [0, 60]
