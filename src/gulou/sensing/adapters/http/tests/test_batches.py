"""Large bodies through the application: counts, repetitions, permissions, what is forgotten when, many at once."""

from __future__ import annotations

import asyncio
import json

import httpx
import pyarrow as pa
import pytest
from msgspec import structs

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import IntakeService, Ledger, MemoryLog
from gulou.kernel.clock import VirtualClock, from_rfc3339, to_rfc3339
from gulou.kernel.errors import Unavailable
from gulou.records import Database
from gulou.sensing.adapters.http import HttpAdapter, HttpSettings
from gulou.sensing.adapters.http.tests.http_peer import basic
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.sdk.memory import MemoryDevices, MemoryIntake
from gulou.vocabulary import Vocabulary

NOW_US = 1_782_892_800_000_000
STREAM = "application/vnd.apache.arrow.stream"


class Feed:
    """A program that may write what it is asked about, but levels."""

    id = "feed"

    def __init__(self, *denied):
        self.denied = denied

    def may(self, action, department=None, entity_type=None):
        return entity_type not in self.denied


class Feeds:
    def authenticate_token(self, token):
        return Feed("WaterLevelObserved") if token == "weather" else Feed()


class Kept:
    """A consumer that keeps what it is fed."""

    name = "kept"

    def __init__(self):
        self.readings = []
        self.rejected = []

    def position(self):
        return 0

    def apply(self, batch):
        self.readings += batch.readings
        self.rejected += batch.rejected

    def checkpoint(self):
        pass


class City:
    """The adapter before an intake."""

    def __init__(self, intake, devices, vocabulary):
        self.devices, self.vocabulary = devices, vocabulary
        context = AdapterContext(
            intake, devices, devices, programs=Feeds(), vocabulary=vocabulary, clock=VirtualClock(NOW_US)
        )
        self.adapter = HttpAdapter(HttpSettings(), context)
        self.adapter.start()

    async def post(self, body, kind, who="Bearer all", **headers):
        transport = httpx.ASGITransport(self.adapter.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            given = {"authorization": who, "content-type": kind, **headers}
            return await client.post("/readings", content=body, headers=given)


@pytest.fixture
def real(tmp_path):
    """The real intake over a log in memory, and what its consumers saw."""
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock, vocabulary, kept = VirtualClock(NOW_US), Vocabulary.load(), Kept()
    intake = IntakeService(MemoryLog(), vocabulary, clock, Ledger(database, clock), consumers=(kept,))
    intake.start()
    city = City(intake, MemoryDevices(), vocabulary)
    yield city, intake, kept
    city.adapter.stop()
    intake.stop()
    database.close()


@pytest.fixture
def city():
    devices = MemoryDevices()
    made = City(MemoryIntake(devices), devices, Vocabulary.load())
    made.intake = made.adapter.application._context.intake
    yield made
    made.adapter.stop()


def record(number, value=5.0, kind="WeatherObserved", name="temperature"):
    at = to_rfc3339(NOW_US - number * 1_000_000)
    return {"entity": f"urn:ngsi-ld:{kind}:roof-{number % 7}", "property": name, "value": value, "observedAt": at}


def line(one):
    return f"{one['entity'].split(':')[2]},entity={one['entity']} {one['property']}={one['value']} {times(one)}000"


def times(one):
    return from_rfc3339(one["observedAt"])


def arrow(records):
    columns = {key: [one[key] for one in records] for key in ("entity", "property", "value")}
    moments = pa.array([times(one) for one in records], pa.timestamp("us", "UTC"))
    table = pa.table({**columns, "observedAt": moments})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


FORMS = {
    "text/plain": lambda records: "\n".join(map(line, records)).encode(),
    "application/x-ndjson": lambda records: "\n".join(map(json.dumps, records)).encode(),
    "application/json": lambda records: json.dumps(records).encode(),
    STREAM: arrow,
}


@pytest.mark.parametrize("kind", FORMS)
async def test_a_batch_is_stored_and_what_is_wrong_in_it_is_rejected_with_its_row(real, kind):
    city, intake, kept = real
    records = [record(number) for number in range(500)]
    records[100] = record(100, 999.0)
    records[200] = record(200, name="nonsense")
    records[300] = records[299]
    answer = (await city.post(FORMS[kind](records), kind)).json()
    assert (answer["received"], answer["stored"], answer["rejected"]) == (500, 497, 3)
    codes = {problem["code"] for problem in answer["problems"]}
    assert codes == {"reading.out_of_range", "reading.property_unknown", "reading.duplicate"}
    intake.settle()
    assert len(kept.readings) == 497
    assert {(one.entity_id, one.observed_at_us, one.value) for one in kept.readings} == {
        (one["entity"], times(one), one["value"]) for at, one in enumerate(records) if at not in (100, 200, 300)
    }
    raws = {one.code: one.raw for one in kept.rejected}
    assert b"999.0" in raws["reading.out_of_range"] and b"nonsense" in raws["reading.property_unknown"]
    assert all(len(raw) < 200 for raw in raws.values())


@pytest.mark.parametrize("kind", FORMS)
async def test_types_that_a_program_may_not_write_are_rejected_one_by_one(city, kind):
    first, second = (
        FORMS[kind](
            [record(number, value) for number in range(10)]
            + [record(number, value, "WaterLevelObserved", "waterLevel") for number in range(10)]
        )
        for value in (1.0, 2.0)
    )
    await city.post(first, kind)  # another program has made both types known
    city.intake.readings.clear()
    answer = (await city.post(second, kind, "Bearer weather")).json()
    assert (answer["rejected"], {problem["code"] for problem in answer["problems"]}) == (10, {"access.denied"})
    assert {one.entity_type for one in city.intake.readings} == {"WeatherObserved"}


@pytest.mark.parametrize("kind", FORMS)
async def test_a_repeated_body_is_taken_up_where_the_first_try_ended(city, kind, monkeypatch):
    records = [record(number) for number in range(30_000)]
    records[15_000] = {**records[15_000], "value": 7}
    body = FORMS[kind](records)
    taken, submit = [], city.intake.submit_columns

    def failing(submission):
        if len(taken) == 2:
            raise Unavailable("intake.disk_full", path="log", free_mb=0)
        taken.append(len(submission.columns))
        return submit(submission)

    monkeypatch.setattr(city.intake, "submit_columns", failing)
    first = await city.post(body, kind, **{"idempotency-key": "k"})
    assert first.status_code == 503 and 0 < len(city.intake.readings) < 30_000
    monkeypatch.setattr(city.intake, "submit_columns", submit)
    again = (await city.post(body, kind, **{"idempotency-key": "k"})).json()
    assert again["repeated"] and again["rejected"] == 0
    assert again["stored"] == 30_000 - sum(taken) == again["received"]
    assert len(city.intake.readings) == 30_000 and city.intake.rejected == []


async def test_a_device_that_is_bound_anew_reports_on_its_new_entity(city):
    def bound(name):
        binding = Binding(f"urn:ngsi-ld:WeatherObserved:{name}", "WeatherObserved", "t", "temperature", "[degF]")
        return Device(id="box", name="box", adapter="http", bindings=(binding,))

    async def send(minute):
        rows = [{"t": 50.0, "observedAt": f"2026-06-30T08:{minute:02}:{second:02}Z"} for second in range(20)]
        body = FORMS["application/x-ndjson"](rows)
        return (await city.post(body, "application/x-ndjson", basic("box", "secret"))).json()

    for minute, name in enumerate(("roof", "yard", "roof")):
        city.devices.add(bound(name), "secret")
        assert (await send(minute))["stored"] == 20
        last = city.intake.readings[-20:]
        assert {one.entity_id for one in last} == {f"urn:ngsi-ld:WeatherObserved:{name}"}
        assert {round(one.value, 6) for one in last} == {10.0}
    city.devices.add(structs.replace(bound("roof"), enabled=False), "secret")
    assert (await city.post(b"x" * 600, "text/plain", basic("box", "secret"))).status_code == 401


async def test_a_property_that_becomes_another_unit_is_converted_anew(city, tmp_path):
    text = (
        "type: Well\nlabel: {{en: Well, zh: 井}}\ndescription: {{en: A well, zh: 水井}}\nproperties:\n  depth:\n"
        "    label: {{en: Depth, zh: 深度}}\n    kind: measured\n    unit: {unit}\n    range: [0, 9000]\n"
    )
    rows = [record(number, 5.0, "Well", "depth") | {"unit": "m"} for number in range(20)]
    for step, (unit, value) in enumerate((("m", 5.0), ("cm", 500.0))):
        (tmp_path / "well.yaml").write_text(text.format(unit=unit), encoding="utf-8")
        city.vocabulary.extend(tmp_path, "wells")
        moved = [one | {"observedAt": to_rfc3339(times(one) - step * 86_400_000_000)} for one in rows]
        answer = await city.post(FORMS["application/json"](moved), "application/json")
        assert answer.json()["stored"] == 20
        assert {one.value for one in city.intake.readings[-20:]} == {value}


async def test_many_bodies_at_once_with_names_of_their_own_are_all_stored(city):
    bodies = [
        (kind, FORMS[kind]([record(number + 1_000 * place) for number in range(1_000)]))
        for place, kind in enumerate(list(FORMS) * 4)
    ]
    answers = await asyncio.gather(*(city.post(body, kind) for kind, body in bodies))
    assert [answer.json()["stored"] for answer in answers] == [1_000] * 16
    assert len({(one.entity_id, one.observed_at_us) for one in city.intake.readings}) == 16_000


async def test_what_is_no_arrow_is_a_400_and_a_reject(city):
    answer = await city.post(b"ARROW1\0\0" + b"x" * 900, "application/vnd.apache.arrow.file")
    assert (answer.status_code, answer.json()["code"]) == (400, "payload.malformed")
    assert city.intake.codes() == ["payload.malformed"]
