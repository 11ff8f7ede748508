import csv
import io
import json

import pytest

from gulou.connectivity.intake import Reading
from gulou.kernel import from_rfc3339

SERIES = "urn:ngsi-ld:AirQualityObserved:a"


def pm25(value, at, entity=SERIES):
    return Reading(entity, "AirQualityObserved", "pm25", value, from_rfc3339(at))


@pytest.fixture
def fed(city):
    city.take(
        pm25(10.0, "2026-06-29T15:59:00Z"),
        pm25(20.0, "2026-06-29T16:00:00Z"),
        pm25(40.0, "2026-06-30T15:59:59Z"),
        pm25(7.0, "2026-06-30T16:00:00Z", entity="urn:ngsi-ld:AirQualityObserved:b"),
    )
    city.sign_in()
    return city


def lines(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_days_begin_at_the_midnight_of_the_zone(fed):
    params = {
        "type": "AirQualityObserved",
        "property": "pm25",
        "aggregate": "mean",
        "every": "1d",
        "zone": "Asia/Shanghai",
    }
    assert lines(fed.client.get("/api/v1/history", params=params)) == [
        {"time": "2026-06-29T00:00:00+08:00", "value": 10.0, "count": 1},
        {"time": "2026-06-30T00:00:00+08:00", "value": 30.0, "count": 2},
        {"time": "2026-07-01T00:00:00+08:00", "value": 7.0, "count": 1},
    ]


def test_a_line_an_entity(fed):
    params = {"type": "AirQualityObserved", "property": "pm25", "aggregate": "max", "every": "1mo", "by": "id"}
    found = lines(fed.client.get("/api/v1/history", params=params))
    assert {line["id"][-1]: line["value"] for line in found} == {"a": 40.0, "b": 7.0}
    assert {line["time"] for line in found} == {"2026-06-01T00:00:00Z"}


def test_rows_are_narrowed_by_id_and_time(fed):
    params = {"type": "AirQualityObserved", "id": "*:a", "from": "2026-06-29T16:00:00Z", "to": "2026-06-30T15:59:59Z"}
    found = lines(fed.client.get("/api/v1/history", params=params))
    assert [(line["value"], line["observed_at"], line["source"]) for line in found] == [
        (20.0, "2026-06-29T16:00:00Z", "http")
    ]


def test_percentiles(fed):
    params = {"type": "AirQualityObserved", "property": "pm25", "aggregate": "p95", "every": "1mo"}
    assert lines(fed.client.get("/api/v1/history", params=params))[0]["value"] == pytest.approx(37.0)


def test_nothing_found_is_an_empty_answer(fed):
    assert lines(fed.client.get("/api/v1/history", params={"type": "AirQualityObserved", "id": "none"})) == []


def test_a_spreadsheet_gets_csv_and_no_formula(fed):
    answer = fed.client.get("/api/v1/history", params={"type": "AirQualityObserved"}, headers={"Accept": "text/csv"})
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0][:5] == ["entity_id", "entity_type", "property", "observed_at", "value"]
    assert len(rows) == 5
    assert rows[1][4] == "10.0"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"type": "Nonsense"}, 404, "vocabulary.type_unknown"),
        ({"zone": "Mars/Olympus"}, 422, "request.bad_zone"),
        ({"zone": "Asia"}, 422, "request.bad_zone"),
        ({"zone": "../../etc/passwd"}, 422, "request.bad_zone"),
        ({"aggregate": "mean"}, 422, "request.together"),
        ({"every": "1d"}, 422, "request.together"),
        ({"aggregate": "mean", "every": "1x"}, 422, "request.malformed"),
        ({"from": "2026-07-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}, 422, "request.bad_span"),
        ({"limit": "0"}, 422, "request.malformed"),
    ],
)
def test_a_wrong_question_is_answered_by_what_is_wrong(fed, change, status, code):
    answer = fed.client.get("/api/v1/history", params={"type": "AirQualityObserved", **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_types_that_one_may_not_read_stay_closed(fed):
    body = {"name": "t", "permissions": [{"action": "entity.read", "entity_types": ["Pump"]}]}
    secret = fed.client.post("/api/v1/tokens", json=body).json()["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    assert fed.client.get("/api/v1/history", params={"type": "Pump"}, headers=headers).status_code == 200
    assert fed.client.get("/api/v1/history", params={"type": "AirQualityObserved"}, headers=headers).status_code == 403


def test_the_vocabulary_is_shown(city):
    city.sign_in_as("viewer")
    vocabulary = city.client.get("/api/v1/vocabulary").json()
    assert [code["code"] for code in vocabulary["severities"]] == ["blue", "yellow", "orange", "red"]
    one = city.client.get("/api/v1/vocabulary/WaterLevelObserved").json()
    level = next(item for item in one["properties"] if item["name"] == "waterLevel")
    assert (level["unit"], level["kind"]) == ("m", "measured")
    assert city.client.get("/api/v1/vocabulary/WaterLevelObserved/schema").json()["$schema"]
    assert city.client.get("/api/v1/vocabulary/Nothing").status_code == 404
