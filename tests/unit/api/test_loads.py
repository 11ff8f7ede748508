import json

import pytest

MAPPING = """
mapping: levels
format: rows
entity: {type: WaterLevelObserved, id: "{station}"}
time: {column: at, zone: UTC}
values:
  - {column: level, property: waterLevel, unit: m}
"""


@pytest.fixture
def loading(city):
    from gulou.sensing.sdk.mapping import Mapping

    file = city.services.data_directory / "levels.mapping.yaml"
    file.write_text(MAPPING, "utf-8")
    city.mappings.replace("loads", [Mapping.load(file)])
    city.sign_in()
    return city


def rows(*levels, start=0):
    lines = [
        {"station": "s", "at": f"2026-06-01T00:{start + n:02d}:00", "level": value} for n, value in enumerate(levels)
    ]
    return "\n".join(json.dumps(line) for line in lines)


def take(city, body, position, first_row=1, origin="digest"):
    params = {"origin": origin, "position": position, "first_row": first_row, "file_name": "levels.csv"}
    return city.client.post("/api/v1/loads/levels", content=body, params=params)


def test_a_file_comes_in_chunks_and_a_repetition_changes_nothing(loading):
    first = take(loading, rows("1.0", "x"), 2)
    assert first.status_code == 200, first.text
    assert {key: first.json()[key] for key in ("received", "stored", "rejected")} == {
        "received": 2, "stored": 1, "rejected": 1,
    }  # fmt: skip
    assert take(loading, rows("1.0", "x"), 2).json()["repeated"] is True
    gap = take(loading, rows("3.0"), 4, first_row=4)
    assert (gap.status_code, gap.json()["code"]) == (409, "load.gap")
    take(loading, rows("2.0", start=2), 3, first_row=3)
    origin = loading.client.get("/api/v1/loads/levels/origins/digest").json()
    assert (origin["position"], origin["account"]["received"], origin["account"]["stored"]) == (3, 3, 2)
    assert loading.client.get("/api/v1/loads/levels/origins/other").json()["position"] == 0
    loading.services.intake.settle()
    total = loading.client.get("/api/v1/accounting").json()["total"]
    assert [total[name] for name in ("received", "stored", "rejected", "dropped")] == [3, 2, 1, 0]


def test_rejects_are_read_again_after_the_mapping_was_mended(loading):
    from gulou.sensing.sdk.mapping import Mapping

    take(loading, rows("1.0", "n/a", "y"), 3)
    loading.services.intake.settle()
    listed = loading.client.get("/api/v1/rejected").json()["items"]
    assert len(listed) == 2
    file = loading.services.data_directory / "levels.mapping.yaml"
    file.write_text(MAPPING.replace("values:", 'missing: ["n/a"]\nvalues:'), "utf-8")
    loading.mappings.replace("loads", [Mapping.load(file)])
    result = loading.client.post("/api/v1/rejected/replay", json={"source": "load:levels"}).json()
    assert (result["replayed"], result["stored"]) == (2, 0)
    loading.services.intake.settle()
    assert loading.client.get("/api/v1/rejected", params={"replayed": False}).json()["total"] == result["rejected"]
    assert loading.client.get("/api/v1/accounting").json()["balanced"] is True
    trail = loading.client.get("/api/v1/audit", params={"action": "rejected.replayed"}).json()["items"]
    assert trail[0]["details"]["replayed"] == 2


@pytest.mark.parametrize(
    ("body", "change", "code"),
    [
        (b"", {}, "request.empty"),
        (b"{}\n{}", {"position": 1}, "load.rows_miscounted"),
        (b"{}", {"origin": "a b"}, "load.origin_malformed"),
        (b"{}", {"position": 0}, "request.malformed"),
    ],
)
def test_a_wrong_chunk_is_refused(loading, body, change, code):
    params = {"origin": "digest", "position": 1, **change}
    assert loading.client.post("/api/v1/loads/levels", content=body, params=params).json()["code"] == code


def test_an_unknown_mapping_is_named(loading):
    answer = loading.client.post("/api/v1/loads/none", content=b"{}", params={"origin": "d", "position": 1})
    assert (answer.status_code, answer.json()["code"]) == (404, "mapping.unknown")


def test_nobody_loads_without_permission(loading):
    loading.sign_in_as("viewer")
    assert take(loading, rows("1.0"), 1).status_code == 403
