import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.hub.context import KINDS, from_normalized, to_key_values, to_normalized
from gulou.kernel.errors import Invalid

SYSTEM = {"createdAt", "modifiedAt", "@context"}


def round_trip(document):
    return to_normalized(from_normalized(document))


FULL = {
    "id": "urn:ngsi-ld:WaterLevelObserved:drain-7",
    "type": ["WaterLevelObserved", "Device"],
    "scope": "/Beijing/Dongcheng",
    "waterLevel": [
        {"type": "Property", "value": 1.25, "observedAt": "2025-03-01T08:00:00Z", "unitCode": "MTR",
         "quality": {"type": "Property", "value": "good", "observedAt": "2025-03-01T08:00:00.000001Z"}},
        {"type": "Property", "value": 1.5, "datasetId": "urn:ngsi-ld:Dataset:radar"},
    ],
    "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [116.4, 39.9]}},
    "refDistrict": {"type": "Relationship", "object": "urn:ngsi-ld:District:dongcheng"},
    "neighbours": {"type": "Relationship", "object": ["urn:ngsi-ld:X:1", "urn:ngsi-ld:X:2"]},
    "name": {"type": "LanguageProperty", "languageMap": {"en": "Drain 7", "zh": "七号排水口"}},
    "settings": {"type": "JsonProperty", "json": {"type": "Property", "value": None}},
    "category": {"type": "VocabProperty", "vocab": "drain"},
    "levels": {"type": "ListProperty", "valueList": [1, 2, 1]},
    "route": {"type": "ListRelationship", "objectList": [{"object": "urn:ngsi-ld:X:1"}]},
    "open": {"type": "Property", "value": False},
    "tags": {"type": "Property", "value": []},
    "installed": {"type": "Property", "value": {"@type": "DateTime", "@value": "2016-08-22T10:18:16Z"}},
}  # fmt: skip


def test_everything_the_model_has_comes_back():
    assert round_trip({"@context": ["https://example.org/context"], **FULL}) == FULL


def test_the_simplified_form():
    simple = to_key_values(from_normalized(FULL))
    assert simple["waterLevel"] == {"dataset": {"@none": 1.25, "urn:ngsi-ld:Dataset:radar": 1.5}}
    assert simple["location"] == {"type": "Point", "coordinates": [116.4, 39.9]}
    assert simple["refDistrict"] == "urn:ngsi-ld:District:dongcheng"
    assert simple["name"] == {"languageMap": {"en": "Drain 7", "zh": "七号排水口"}}
    assert simple["category"] == {"vocab": "drain"}
    assert (simple["open"], simple["tags"], simple["levels"]) == (False, [], [1, 2, 1])


def test_the_concise_form_is_read():
    document = round_trip(
        {
            "id": "urn:ngsi-ld:Pump:1",
            "type": "Pump",
            "power": 3,
            "on": {"value": True, "observedAt": "2025-03-01T00:00:00Z"},
            "location": {"type": "Point", "coordinates": [1, 2]},
            "area": {"value": {"type": "Point", "coordinates": [1, 2]}},
            "ref": {"object": "urn:ngsi-ld:X:1"},
            "name": {"languageMap": {"zh": "泵"}},
            "free": {"a": 1},
            "list": [1, {"a": 2}],
            "speed": {"type": "Property", "value": 1, "accuracy": 0.1},
        }
    )
    assert {name: one["type"] for name, one in document.items() if name not in {"id", "type"}} == {
        "power": "Property",
        "on": "Property",
        "location": "GeoProperty",
        "area": "GeoProperty",
        "ref": "Relationship",
        "name": "LanguageProperty",
        "free": "Property",
        "list": "Property",
        "speed": "Property",
    }
    assert document["speed"]["accuracy"] == {"type": "Property", "value": 0.1}


def test_system_attributes_are_the_platforms_own():
    entity = from_normalized({**FULL, "createdAt": "1999-01-01T00:00:00Z", "modifiedAt": "1999-01-01T00:00:00Z"})
    assert to_normalized(entity) == FULL
    entity.created_at_us = 1_000_000
    assert to_normalized(entity, system=True)["createdAt"] == "1970-01-01T00:00:01Z"


PUMP = {"id": "urn:ngsi-ld:Pump:1", "type": "Pump"}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (None, "entity.not_an_object"),
        ([PUMP], "entity.not_an_object"),
        ({"id": "urn:ngsi-ld:Pump:1"}, "entity.type_malformed"),
        ({**PUMP, "type": []}, "entity.type_malformed"),
        ({**PUMP, "type": "a b"}, "entity.type_malformed"),
        ({**PUMP, "type": 5}, "entity.type_malformed"),
        ({"type": "Pump"}, "entity.uri_malformed"),
        ({**PUMP, "id": "pump 1"}, "entity.uri_malformed"),
        ({**PUMP, "id": "urn:ngsi-ld:Pump:" + "x" * 600}, "entity.uri_malformed"),
        ({**PUMP, "a b": 1}, "entity.name_malformed"),
        ({**PUMP, "x": None}, "entity.value_null"),
        ({**PUMP, "x": {"type": "Property"}}, "entity.value_missing"),
        ({**PUMP, "x": {"type": "Relationship", "value": "urn:a:b"}}, "entity.value_missing"),
        ({**PUMP, "x": {"type": "Relationship", "object": "no uri"}}, "entity.uri_malformed"),
        ({**PUMP, "x": {"type": "Relationship", "object": 5}}, "entity.uri_malformed"),
        ({**PUMP, "x": {"type": "LanguageProperty", "languageMap": "x"}}, "entity.value_malformed"),
        ({**PUMP, "x": {"type": "ListProperty", "valueList": 5}}, "entity.value_malformed"),
        ({**PUMP, "x": {"type": "Property", "value": float("nan")}}, "entity.value_malformed"),
        ({**PUMP, "x": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [500, 0]}}},
         "geometry.out_of_range"),
        ({**PUMP, "x": {"type": "GeoProperty", "value": "here"}}, "geometry.malformed"),
        ({**PUMP, "x": {"value": 1, "observedAt": "yesterday"}}, "entity.time_malformed"),
        ({**PUMP, "x": {"value": 1, "observedAt": "2025-03-01T00:00:00"}}, "entity.time_malformed"),
        ({**PUMP, "x": {"value": 1, "observedAt": 5}}, "entity.time_malformed"),
        ({**PUMP, "x": {"value": 1, "unitCode": 5}}, "entity.unit_malformed"),
        ({**PUMP, "x": {"value": 1, "datasetId": "no uri"}}, "entity.uri_malformed"),
        ({**PUMP, "x": [{"value": 1}, {"value": 2}]}, "entity.dataset_twice"),
        ({**PUMP, "x": [{"value": 1, "datasetId": f"urn:x:{n}"} for n in range(101)]}, "entity.too_many_instances"),
        ({**PUMP, **{f"a{n}": n for n in range(1001)}}, "entity.too_many_attributes"),
        ({**PUMP, "scope": 5}, "entity.scope_malformed"),
        ({**PUMP, "scope": ["/a", 5]}, "entity.scope_malformed"),
    ],
)  # fmt: skip
def test_what_is_no_entity_is_refused(document, code):
    with pytest.raises(Invalid) as caught:
        from_normalized(document)
    assert caught.value.code == code


def test_endless_nesting_is_refused():
    attribute = {"type": "Property", "value": 1}
    for _ in range(50):
        attribute = {"type": "Property", "value": 1, "sub": attribute}
    with pytest.raises(Invalid) as caught:
        from_normalized({**PUMP, "x": attribute})
    assert caught.value.code == "entity.too_deep"


json_values = st.recursive(
    st.booleans() | st.floats(-1e9, 1e9) | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
times = st.sampled_from(["2025-03-01T08:00:00Z", "1999-12-31T23:59:59.999999Z"])
uris = st.sampled_from(["urn:ngsi-ld:X:1", "https://example.org/a?b=c#d"])
scalars = {
    "Property": json_values.filter(lambda value: value != "urn:ngsi-ld:null"),
    "GeoProperty": st.builds(
        lambda x, y: {"type": "Point", "coordinates": [x, y]}, st.floats(-180, 180), st.floats(-90, 90)
    ),
    "Relationship": uris | st.lists(uris, min_size=1, max_size=3),
    "LanguageProperty": st.dictionaries(st.sampled_from(["en", "zh", "da"]), st.text(max_size=5), min_size=1),
    "JsonProperty": json_values,
    "VocabProperty": st.text(min_size=1, max_size=5),
    "ListProperty": st.lists(json_values, max_size=3),
    "ListRelationship": st.lists(uris.map(lambda uri: {"object": uri}), min_size=1, max_size=3),
}


def attribute_of(sub):
    return st.sampled_from(sorted(scalars)).flatmap(
        lambda kind: st.fixed_dictionaries(
            {"type": st.just(kind), KINDS[kind]: scalars[kind]},
            optional={"observedAt": times, "unitCode": st.sampled_from(["CEL", "ug/m3"]), **sub},
        )
    )


@given(
    st.dictionaries(
        st.sampled_from(["waterLevel", "name", "水位", "https://uri.example.org/x#y"]),
        attribute_of({"quality": attribute_of({})}),
    )
)
def test_any_normalized_entity_comes_back(attributes):
    document = {**PUMP, **attributes}
    assert round_trip(document) == document


@pytest.mark.data
def test_the_examples_of_the_data_models_come_back(city_data):
    with gzip.open(city_data / "entities" / "fiware_data_models_examples.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    normalized = [one["body"] for one in found if one["format"] == "ngsi-ld"]
    assert len(normalized) == 70
    usable = [one for one in normalized if not _has_broken_polygon(one)]
    assert len(usable) >= 65
    for document in usable:
        expected = {name: value for name, value in document.items() if name not in SYSTEM}
        assert _in_utc(round_trip(document)) == _in_utc(expected)
    for document in (one for one in normalized if _has_broken_polygon(one)):
        with pytest.raises(Invalid) as caught:
            from_normalized(document)
        assert caught.value.code.startswith("geometry.")


def _has_broken_polygon(document):
    """Some of the examples leave out the list of rings, or the ring's end."""
    shapes = [
        value["value"] for value in document.values() if isinstance(value, dict) and value["type"] == "GeoProperty"
    ]
    rings = [shape["coordinates"][0] for shape in shapes if shape["type"] == "Polygon"]
    return any(not isinstance(ring[0], list) or ring[0] != ring[-1] for ring in rings)


def _in_utc(value):
    """Times are written anew in UTC; everything else must be as it was."""
    if isinstance(value, dict):
        return {key: _canonical(one) if key == "observedAt" else _in_utc(one) for key, one in value.items()}
    return [_in_utc(one) for one in value] if isinstance(value, list) else value


def _canonical(text):
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
