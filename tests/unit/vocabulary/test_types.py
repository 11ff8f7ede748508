import dataclasses

import jsonschema
import pytest

from gulou.kernel import NotFound
from gulou.kernel.units import check_unit
from gulou.vocabulary import Vocabulary, generated
from gulou.vocabulary.generate import generate, main

VOCABULARY = Vocabulary.load()
PROPERTIES = [(item, own) for item in VOCABULARY.types.values() for own in item.properties.values()]

NEEDED = {
    "AirQualityObserved", "WeatherObserved", "WaterLevelObserved", "TrafficFlowObserved", "OffStreetParking",
    "NoiseLevelObserved", "WasteContainer", "Streetlight", "Pump", "Gate", "EnergyMeter", "WaterMeter", "Camera",
    "Vehicle", "CrowdFlowObserved", "Device", "Alert", "District", "Road", "River",
}  # fmt: skip


def test_the_city_has_its_types():
    assert set(VOCABULARY.types) >= NEEDED


@pytest.mark.parametrize("item", VOCABULARY.types.values(), ids=lambda item: item.name)
def test_every_type_is_complete(item):
    assert set(item.label) == set(item.description) == {"en", "zh"}
    assert item.icon
    assert item.main in item.properties
    assert {"name", "location", "refDevice", "refDistrict"} <= set(item.properties)
    assert item.properties_of_kind("measured", "state")


@pytest.mark.parametrize(("item", "property_type"), PROPERTIES, ids=lambda value: value.name)
def test_every_property_is_complete(item, property_type):
    assert set(property_type.label) == {"en", "zh"}
    assert all(set(text) == {"en", "zh"} for text in property_type.values.values())
    assert set(property_type.targets) <= set(VOCABULARY.types)
    number = property_type.data_type == "number"
    assert (property_type.unit is not None) == number
    assert property_type.kind != "measured" or (property_type.minimum is not None and property_type.maximum is not None)


@pytest.mark.parametrize("unit", sorted({item.unit for _, item in PROPERTIES if item.unit}))
def test_every_unit_is_ucum(unit):
    assert check_unit(unit) == unit


def test_a_property_name_is_a_number_in_every_type_or_in_none():
    numbers = {item.name for _, item in PROPERTIES if item.data_type == "number"}
    others = {item.name for _, item in PROPERTIES if item.data_type != "number"}
    assert numbers & others == set()


def test_generated_types_are_up_to_date():
    assert main(["--check"]) == 0, "run python -m gulou.vocabulary.generate"


def test_generated_types_carry_the_properties():
    pump = generated.Pump(id="urn:ngsi-ld:Pump:p1", powerState="on")
    assert {field.name for field in dataclasses.fields(pump)} == {"id", *VOCABULARY.types["Pump"].properties}
    assert set(generated.EntityTypeName.__args__) == set(VOCABULARY.types)
    assert "class Pump:" in generate(VOCABULARY)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_json_schemas_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(VOCABULARY.json_schema(name))


def test_a_json_schema_tells_right_from_wrong():
    validator = jsonschema.Draft202012Validator(VOCABULARY.json_schema("Pump"))
    right = {
        "id": "urn:ngsi-ld:Pump:p1",
        "type": "Pump",
        "name": {"en": "Pump 1", "zh": "1 号泵"},
        "powerState": "on",
        "flowRate": 120.5,
        "drains": ["urn:ngsi-ld:WaterLevelObserved:d1"],
        "location": {"type": "Point", "coordinates": [116.4, 39.9]},
    }
    assert validator.is_valid(right)
    for name, wrong in [
        ("powerState", "maybe"),
        ("flowRate", "1"),
        ("flowRate", -1),
        ("drains", "d1"),
        ("type", "Gate"),
    ]:
        assert not validator.is_valid({**right, name: wrong})
    assert not validator.is_valid({"type": "Pump"})


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(NotFound, match=r"vocabulary\.type_unknown") as refused:
        VOCABULARY.get_type("AirQuality")
    assert refused.value.params["nearest"] == "AirQualityObserved"
    with pytest.raises(NotFound, match=r"vocabulary\.property_unknown") as refused:
        VOCABULARY.get_property("AirQualityObserved", "PM25")
    assert refused.value.params["nearest"] == "pm25"
    assert VOCABULARY.find_type("AirQuality") is None


def test_what_is_handed_out_cannot_be_changed():
    with pytest.raises(TypeError):
        VOCABULARY.types["X"] = None
    with pytest.raises(TypeError):
        VOCABULARY.types["Pump"].properties["x"] = None
