import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid
from gulou.vocabulary import Vocabulary
from gulou.vocabulary.vocabulary import MAX_CHECKS, MAX_REFUSALS

VOCABULARY = Vocabulary.load()
check = VOCABULARY.check
POINT = {"type": "Point", "coordinates": [116.4, 39.9]}


def refusal(*arguments):
    with pytest.raises(Invalid) as refused:
        check(*arguments)
    return refused.value


@pytest.mark.parametrize(
    ("entity_type", "name", "value", "unit", "expected"),
    [
        ("AirQualityObserved", "pm25", 12.5, None, 12.5),
        ("AirQualityObserved", "pm25", 12, None, 12.0),
        ("AirQualityObserved", "pm25", 12.5, "ug/m3", 12.5),
        ("AirQualityObserved", "pm25", 12.5, "GQ", 12.5),
        ("AirQualityObserved", "pm25", 0.0125, "mg/m3", 12.5),
        ("AirQualityObserved", "co", 300, "ug/m3", 0.3),
        ("WeatherObserved", "temperature", 50, "FAH", 10),
        ("WeatherObserved", "relativeHumidity", 64, "%", 0.64),
        ("WeatherObserved", "atmosphericPressure", 101.3, "kPa", 1013),
        ("WeatherObserved", "windSpeed", 36, "km/h", 10),
        ("WaterLevelObserved", "waterLevel", 598.12, "[ft_i]", 182.306976),
        ("TrafficFlowObserved", "averageVehicleSpeed", 60, "[mi_i]/h", 96.56064),
        ("NoiseLevelObserved", "LAeq", 67.8, "2N", 67.8),
    ],
)
def test_numbers_come_back_in_the_propertys_unit(entity_type, name, value, unit, expected):
    found = check(entity_type, name, value, unit)
    assert isinstance(found, float)
    assert found == pytest.approx(expected)


def test_the_limits_hold_after_conversion():
    assert refusal("WeatherObserved", "temperature", 212, "[degF]").code == "reading.out_of_range"


@pytest.mark.parametrize("unit", [None, "ug/m3", "mg/m3"])
@pytest.mark.parametrize("value", ["12", "", None, True, False, [1], {}, math.nan, b"1", Fraction(1, 2)])
def test_what_is_not_a_number(value, unit):
    assert refusal("AirQualityObserved", "pm25", value, unit).code == "reading.not_a_number"


@pytest.mark.parametrize("unit", [None, "ug/m3", "mg/m3"])
@pytest.mark.parametrize("value", [-0.001, 2000.001, 1e300, -1e300, math.inf, -math.inf, 10**400, -(10**400)])
def test_what_is_out_of_range(value, unit):
    refused = refusal("AirQualityObserved", "pm25", value, unit)
    assert refused.code == "reading.out_of_range"
    assert (refused.params["minimum"], refused.params["maximum"]) == (0, 2000)
    assert len(str(refused)) < 400


def test_limits_belong_to_the_range():
    assert check("AirQualityObserved", "pm25", 0) == 0
    assert check("AirQualityObserved", "pm25", 2000) == 2000
    assert check("AirQualityObserved", "pm25", 2, "mg/m3") == 2000


@given(st.floats(allow_nan=True) | st.integers() | st.text() | st.none() | st.booleans())
def test_any_value_is_within_the_range_or_refused(value):
    try:
        found = check("WeatherObserved", "temperature", value, "K")
    except Invalid as refused:
        assert refused.code in {"reading.out_of_range", "reading.not_a_number"}
    else:
        assert -90 <= found <= 65


def test_unknown_types_properties_and_units():
    refused = refusal("AirQuality", "pm25", 1)
    assert (refused.code, refused.params["nearest"]) == ("reading.type_unknown", "AirQualityObserved")
    refused = refusal("AirQualityObserved", "pm2", 1)
    assert (refused.code, refused.params["nearest"]) == ("reading.property_unknown", "pm25")
    assert refusal("AirQualityObserved", "pm25", 1, "xyz").code == "reading.unit_unknown"
    assert refusal("AirQualityObserved", "pm25", 1, "").code == "reading.unit_unknown"
    assert refusal("AirQualityObserved", "pm25", 1, "x" * 1000).code == "reading.unit_unknown"
    assert refusal("AirQualityObserved", "pm25", 1, "km").code == "reading.unit_incompatible"
    assert refusal("AirQualityObserved", "pm25", 1, "[ppb]").code == "reading.unit_incompatible"
    assert refusal("WaterLevelObserved", "waterLevel", 1, "ft").code == "reading.unit_unknown"
    assert refusal("Pump", "powerState", "on", "V").code == "reading.unit_incompatible"
    assert refusal("Pump", "status", "ok", "%").code == "reading.unit_incompatible"


@pytest.mark.parametrize(
    ("entity_type", "name", "right", "wrong", "code"),
    [
        ("Pump", "powerState", "on", "ON", "reading.not_in_list"),
        ("Pump", "powerState", "off", True, "reading.not_in_list"),
        ("AirQualityObserved", "airQualityLevel", "good", ["good"], "reading.not_in_list"),
        ("WaterMeter", "leakDetected", True, 1, "reading.not_a_truth_value"),
        ("WaterMeter", "leakDetected", False, "false", "reading.not_a_truth_value"),
        ("Pump", "name", "泵", 3, "reading.not_a_text"),
        ("Pump", "name", {"en": "Pump", "zh": "泵"}, {"en": 3}, "reading.not_a_text"),
        ("Pump", "name", "", {}, "reading.not_a_text"),
        ("Pump", "name", "x" * 4096, "x" * 4097, "reading.not_a_text"),
        ("Device", "dateInstalled", "2026-07-01T08:00:00+08:00", "2026-07-01T08:00:00", "reading.not_a_time"),
        ("Device", "dateInstalled", "2026-07-01T00:00:00Z", 1782864000, "reading.not_a_time"),
        ("Pump", "drains", "urn:ngsi-ld:WaterLevelObserved:d1", "d1", "reading.not_a_relation"),
        ("Pump", "drains", ["urn:ngsi-ld:River:r"], [], "reading.not_a_relation"),
        ("Pump", "drains", ["urn:ngsi-ld:River:r"] * 100, ["urn:ngsi-ld:River:r"] * 101, "reading.not_a_relation"),
        ("Pump", "drains", "urn:ngsi-ld:River:r", "urn:ngsi-ld:Camera:c", "reading.not_a_relation"),
        ("Pump", "refPumpStation", "urn:ngsi-ld:Camera:c", 5, "reading.not_a_relation"),
        ("Vehicle", "location", POINT, {"type": "Point", "coordinates": [39.9, 116.4]}, "reading.not_a_geometry"),
        ("Vehicle", "location", POINT, "116.4,39.9", "reading.not_a_geometry"),
        ("NoiseLevelObserved", "frequencies", {"100": 40}, {"a": "x" * 70_000}, "reading.too_large"),
        ("Pump", "address", None, [math.nan], "reading.too_large"),
    ],
)
def test_values_of_the_other_kinds(entity_type, name, right, wrong, code):
    assert check(entity_type, name, right) == right
    assert refusal(entity_type, name, wrong).code == code


def test_a_deep_value_is_refused_without_recursing_to_its_end():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert refusal("Pump", "address", deep).code == "reading.too_large"


def test_a_refused_value_is_cut_for_its_message():
    assert len(refusal("Pump", "powerState", "x" * 10_000).params["value"]) <= 80


def test_invented_units_do_not_fill_the_memory():
    vocabulary = Vocabulary.load()
    for number in range(MAX_CHECKS + 50):
        vocabulary._checks[("x", "y", str(number))] = float
    assert vocabulary.check("AirQualityObserved", "pm25", 1, "mg/m3") == 1000
    assert ("AirQualityObserved", "pm25", "mg/m3") not in vocabulary._checks


def test_a_refusal_is_the_same_the_second_time_and_remembered_within_bounds():
    vocabulary = Vocabulary.load()
    for _ in range(2):
        with pytest.raises(Invalid, match=r"reading\.unit_incompatible") as refused:
            vocabulary.check("AirQualityObserved", "pm25", 1, "km")
        assert refused.value.params["expected"] == "ug/m3"
    for number in range(MAX_REFUSALS + 10):
        with pytest.raises(Invalid, match=r"reading\.type_unknown"):
            vocabulary.check(f"T{number}", "x", 1)
    assert 0 < len(vocabulary._refusals) <= MAX_REFUSALS


def test_what_was_unknown_is_known_once_a_pack_brings_it(tmp_path):
    vocabulary = Vocabulary.load()
    with pytest.raises(Invalid, match=r"reading\.property_unknown"):
        vocabulary.check("Pump", "vibration", 1)
    (tmp_path / "more.yaml").write_text(
        "extends: Pump\nproperties:\n  vibration:\n    label: {en: V, zh: 振}\n"
        "    kind: measured\n    unit: mm/s\n    range: [0, 9]\n"
    )
    vocabulary.extend(tmp_path, "more")
    assert vocabulary.check("Pump", "vibration", 1) == 1


@given(value=st.floats(-1e9, 1e9))
@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [
        ("AirQualityObserved", "pm25", "mg/m3"),
        ("WeatherObserved", "temperature", "[degF]"),
        ("Pump", "activePower", None),
    ],
)
def test_what_is_linear_gives_the_checks_value_to_the_last_bit(kind, name, unit, value):
    factor, offset = VOCABULARY.linear(kind, name, unit)
    try:
        expected = check(kind, name, value, unit)
    except Invalid:
        return
    assert math.copysign(1, expected) == math.copysign(1, value * factor + offset) or expected == 0
    assert expected == value * factor + offset


@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [
        ("Pump", "powerState", None),
        ("Pump", "location", None),
        ("Pump", "drains", None),
        ("Pump", "nothing", None),
        ("Nothing", "power", None),
        ("AirQualityObserved", "pm25", "kg"),
        ("AirQualityObserved", "pm25", "wrong"),
    ],
)
def test_what_is_no_plain_number_is_not_linear(kind, name, unit):
    assert VOCABULARY.linear(kind, name, unit) is None


def test_the_generation_grows_with_every_change_of_types(tmp_path):
    vocabulary = Vocabulary.load()
    before = vocabulary.generation
    vocabulary.remove("nobody")
    assert vocabulary.generation > before
