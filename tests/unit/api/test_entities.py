import pytest

from gulou.connectivity.intake import Reading
from gulou.kernel import from_rfc3339

DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"


def drain(entity_id=DRAIN, lon=116.4, lat=39.9, **more):
    return {
        "id": entity_id,
        "type": "WaterLevelObserved",
        "name": {"type": "LanguageProperty", "languageMap": {"en": "Drain 1", "zh": "排水口1"}},
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [lon, lat]}},
        **more,
    }


def level(value, at="2026-07-01T07:59:00Z", entity_id=DRAIN):
    return Reading(entity_id, "WaterLevelObserved", "waterLevel", value, from_rfc3339(at))


@pytest.fixture
def fed(city):
    city.sign_in()
    assert city.client.post("/api/v1/entities", json=drain()).json() == {"id": DRAIN, "created": True}
    city.take(level(1.5), level(2.5, "2026-07-01T07:59:30Z"))
    return city


def test_an_entity_is_what_was_written_and_what_was_read(fed):
    entity = fed.client.get(f"/api/v1/entities/{DRAIN}").json()
    assert entity["waterLevel"]["value"] == 2.5
    assert entity["waterLevel"]["observedAt"].startswith("2026-07-01T07:59:30")
    assert entity["name"]["languageMap"]["zh"] == "排水口1"
    plain = fed.client.get(f"/api/v1/entities/{DRAIN}", params={"format": "keyValues"}).json()
    assert plain["waterLevel"] == 2.5


def test_attributes_are_patched_and_entities_deleted(fed):
    fragment = {"waterLevel": {"type": "Property", "value": 0.5}}
    assert fed.client.patch(f"/api/v1/entities/{DRAIN}/attrs", json=fragment).status_code == 204
    assert fed.client.get(f"/api/v1/entities/{DRAIN}").json()["waterLevel"]["value"] == 0.5
    assert fed.client.delete(f"/api/v1/entities/{DRAIN}").status_code == 204
    assert fed.client.get(f"/api/v1/entities/{DRAIN}").json()["code"] == "entity.unknown"


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"type": "WaterLevelObserved"}, 1),
        ({"type": "Pump,WaterLevelObserved"}, 1),
        ({"type": "Pump"}, 0),
        ({"id": "*drain-?"}, 1),
        ({"q": "waterLevel>2"}, 1),
        ({"q": "waterLevel>3"}, 0),
        ({"bbox": "116,39,117,40"}, 1),
        ({"bbox": "117,39,118,40"}, 0),
        ({"near": "116.4,39.901,200"}, 1),
        ({"near": "116.4,39.91,200"}, 0),
        ({"polygon": "116,39;117,39;117,40;116,40"}, 1),
        ({"polygon": '{"type":"Polygon","coordinates":[[[117,39],[118,39],[118,40],[117,39]]]}'}, 0),
    ],
)
def test_entities_are_found_by_type_id_value_and_place(fed, params, found):
    page = fed.client.get("/api/v1/entities", params=params)
    assert page.status_code == 200, page.text
    assert (page.json()["total"], len(page.json()["items"])) == (found, found)


def test_an_entity_is_found_by_its_own_grid_cells(fed):
    cells = fed.client.get(f"/api/v1/entities/{DRAIN}/cells").json()
    for cell in (cells["h3"]["9"], cells["beidou"]["5"]):
        assert fed.client.get("/api/v1/entities", params={"cell": cell}).json()["total"] == 1


@pytest.mark.parametrize(
    "params",
    [
        {"bbox": "1,2,3"}, {"bbox": "a,b,c,d"}, {"near": "1,2"}, {"near": "116,39,-1"}, {"near": "nan,39,1"},
        {"near": "116,99,10"}, {"polygon": "1,2;3,4"}, {"polygon": "{"}, {"cell": "zz"}, {"q": "waterLevel>>"},
        {"cursor": "a"}, {"format": "xml"},
    ],
)  # fmt: skip
def test_a_wrong_question_is_refused(fed, params):
    answer = fed.client.get("/api/v1/entities", params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"] != answer.json()["code"]


def test_pages_of_entities_follow_each_other(fed):
    for number in range(2, 6):
        fed.client.post("/api/v1/entities", json=drain(f"urn:ngsi-ld:WaterLevelObserved:drain-{number}"))
    first = fed.client.get("/api/v1/entities", params={"limit": 3}).json()
    second = fed.client.get("/api/v1/entities", params={"limit": 3, "cursor": first["next"]}).json()
    assert [item["id"][-1] for item in first["items"] + second["items"]] == ["1", "2", "3", "4", "5"]
    assert second["next"] is None


def test_the_map_gets_columns(fed):
    fed.client.post("/api/v1/entities", json=drain("urn:ngsi-ld:WaterLevelObserved:far", lon=100.0))
    features = fed.client.get(
        "/api/v1/map/features", params={"bbox": "116,39,117,40"}, headers={"Accept-Language": "zh"}
    )
    assert features.json() == {
        "types": ["WaterLevelObserved"], "ids": [DRAIN], "names": ["排水口1"], "lon": [116.4], "lat": [39.9],
        "type": [0], "state": ["normal"], "total": 1, "truncated": False,
    }  # fmt: skip
    cut = fed.client.get("/api/v1/map/features", params={"limit": 1}).json()
    assert (len(cut["ids"]), cut["total"], cut["truncated"]) == (1, 2, True)


def test_the_base_map_is_served_where_there_is_one(fed):
    assert fed.client.get("/api/v1/map/base").status_code == 204
    maps = fed.services.data_directory / "maps"
    maps.mkdir()
    (maps / "base.geojson").write_text('{"type": "FeatureCollection", "features": []}', "utf-8")
    answer = fed.client.get("/api/v1/map/base")
    assert answer.json()["type"] == "FeatureCollection"
    assert answer.headers["content-type"] == "application/geo+json"


def test_a_chart_gets_the_newest_points_oldest_first(fed):
    path = f"/api/v1/entities/{DRAIN}/history"
    chart = fed.client.get(path, params={"property": "waterLevel", "last": "45s"}).json()
    assert chart["unit"] == "m"
    assert [(point["time"], point["value"]) for point in chart["points"]] == [("2026-07-01T07:59:30Z", 2.5)]
    whole = fed.client.get(path, params={"property": "waterLevel"}).json()
    assert [point["value"] for point in whole["points"]] == [1.5, 2.5]
    cut = fed.client.get(path, params={"property": "waterLevel", "limit": 1}).json()
    assert ([point["value"] for point in cut["points"]], cut["truncated"]) == ([2.5], True)


def test_types_that_one_may_not_read_do_not_exist(fed):
    body = {"name": "t", "permissions": [{"action": "entity.read", "entity_types": ["Pump"]}]}
    headers = {"Authorization": "Bearer " + fed.client.post("/api/v1/tokens", json=body).json()["secret"]}
    assert fed.client.get("/api/v1/entities", headers=headers).json()["total"] == 0
    assert (
        fed.client.get("/api/v1/entities", params={"type": "WaterLevelObserved"}, headers=headers).json()["total"] == 0
    )
    assert fed.client.get("/api/v1/map/features", headers=headers).json()["ids"] == []
    for path in ("", "/cells", "/history?property=waterLevel"):
        assert fed.client.get(f"/api/v1/entities/{DRAIN}{path}", headers=headers).status_code == 404
    assert fed.client.delete(f"/api/v1/entities/{DRAIN}", headers=headers).status_code == 403


def test_an_entity_that_does_not_fit_the_model_is_refused(fed):
    wrong = drain(waterLevel={"type": "Property", "value": 1e9})
    assert fed.client.post("/api/v1/entities", json=wrong).status_code == 422
    assert fed.client.post("/api/v1/entities", json={"id": "no urn"}).status_code == 422
    assert fed.client.get(f"/api/v1/entities/{DRAIN}").json()["waterLevel"]["value"] == 2.5
