"""What HTTP ingest does beyond the contract: formats, programs, limits, repetitions, problem documents."""

from __future__ import annotations

import asyncio
import gzip
import json
from concurrent.futures import Future

import cbor2
import httpx
import pytest

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import Flaw, Receipt
from gulou.kernel.errors import Unavailable
from gulou.sensing.adapters.http import HttpAdapter, HttpSettings
from gulou.sensing.adapters.http.tests.http_peer import basic
from gulou.sensing.sdk import AdapterContext, Mapping
from gulou.sensing.sdk.contract import DEVICE, ENTITY, SECRET, House
from gulou.sensing.sdk.memory import MemoryPrograms

AT = "2026-07-01T08:00:00Z"
ROW = {"entity": ENTITY, "property": "waterLevel", "value": 2.5, "observedAt": AT}


class Ingest:
    """The application in this process, with a device's or a program's credentials."""

    def __init__(self, **settings):
        self.house = House()
        self.programs = MemoryPrograms()
        self.programs.add("good", "intake.write")
        self.programs.add("reader", "entity.read")
        self.context = AdapterContext(
            self.house.intake,
            self.house.devices,
            self.house.devices,
            programs=self.programs,
            commands=self.house.commands,
        )
        self.adapter = HttpAdapter(HttpSettings(**settings), self.context)
        self.house.commands.send = self.adapter.send
        self.adapter.start()

    async def call(self, method, path, body=b"", kind="application/json", who=None, **headers):
        auth = basic(DEVICE, SECRET) if who is None else who
        async with self.client() as client:
            return await client.request(
                method, path, content=body, headers={"authorization": auth, "content-type": kind, **headers}
            )

    def client(self):
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.adapter.application), base_url="http://test")

    async def post(self, body, kind="application/json", query="", **more):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.call("POST", f"/readings{query}", raw, kind, **more)


@pytest.fixture
def ingest():
    ingest = Ingest()
    yield ingest
    ingest.adapter.stop()


def stored(ingest):
    return [(one.entity_id, one.property, one.value) for one in ingest.house.intake.readings]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"level": 2.5}', "application/json"),
        (b'[{"level": 2.5}]', "application/json; charset=utf-8"),
        (b'{"level": 2.5}\n', "application/x-ndjson"),
        (b"m level=2.5", "text/plain"),
        (b'[{"n": "level", "v": 2.5}]', "application/senml+json"),
        (b'[{"n": "level", "v": 2.5}]', "application/json"),
        (cbor2.dumps([{0: "level", 2: 2.5}]), "application/senml+cbor"),
    ],
)
async def test_a_device_sends_in_every_format(ingest, body, kind):
    answer = await ingest.post(body, kind)
    assert answer.json() == {"received": 1, "stored": 1, "rejected": 0, "problems": []}
    assert stored(ingest) == [(ENTITY, "waterLevel", 2.5)]


@pytest.mark.parametrize("base", ["", "wild-1/", "urn:dev:ow:10e2073a01080063:"])
async def test_senml_names_reach_a_device_that_is_bound_as_a_whole(ingest, base):
    entity = "urn:ngsi-ld:WaterLevelObserved:wild-1"
    bound = Binding(entity, "WaterLevelObserved")
    ingest.house.devices.add(Device(id="wild-1", name="wild-1", adapter="http", bindings=(bound,)), SECRET)
    pack = json.dumps([{"bn": base, "n": "waterLevel", "v": 2.5}]).encode()
    await ingest.post(pack, "application/senml+json", who=basic("wild-1", SECRET))
    assert stored(ingest) == [(entity, "waterLevel", 2.5)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(ROW).encode(), "application/json"),
        (json.dumps([ROW]).encode(), "application/json"),
        (json.dumps(ROW).encode(), "application/x-ndjson"),
        (f"WaterLevelObserved,entity={ENTITY} waterLevel=2.5 1782892800000000000".encode(), "text/plain"),
    ],
)
async def test_a_program_sends_rows(ingest, body, kind):
    answer = await ingest.post(body, kind, who="Bearer good")
    assert (answer.status_code, answer.json()["stored"]) == (200, 1)
    assert stored(ingest) == [(ENTITY, "waterLevel", 2.5)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"observedAt": None}, "payload.field_missing"),
        ({"observedAt": "2026-07-01T08:00:00"}, "time.zone_missing"),
        ({"value": None}, "payload.field_missing"),
        ({"entity": "drain-1"}, "payload.field_missing"),
        ({"entity": "urn:x"}, "id.malformed"),
        ({"type": "Pump"}, "payload.type_contradicts"),
        ({"colour": 1}, "payload.unknown_key"),
    ],
)
async def test_a_wrong_row_is_rejected_and_the_others_are_stored(ingest, change, code):
    answer = await ingest.post([{**ROW, **change}, ROW], who="Bearer good")
    assert (answer.json()["stored"], answer.json()["rejected"]) == (1, 1)
    assert answer.json()["problems"][0]["code"] == code
    assert ingest.house.intake.rejected[0][0].raw == json.dumps({**ROW, **change}).encode()


async def test_problems_are_told_in_the_callers_language(ingest):
    english = await ingest.post({"colour": 1})
    chinese = await ingest.post({"colour": 1}, **{"accept-language": "zh-CN"})
    assert "not bound" in english.json()["problems"][0]["text"]
    assert "未绑定" in chinese.json()["problems"][0]["text"]


@pytest.mark.parametrize("who", ["", "Basic ???", "Bearer bad", basic(DEVICE, "wrong"), basic("", ""), "Digest x"])
async def test_who_is_not_known_is_401(ingest, who):
    answer = await ingest.post({"level": 1}, who=who)
    assert (answer.status_code, answer.json()["code"]) == (401, "access.unauthenticated")
    assert "Basic" in answer.headers["www-authenticate"]
    assert ingest.house.intake.submissions == []


async def test_a_program_without_the_permission_is_403(ingest):
    assert (await ingest.post([ROW], who="Bearer reader")).status_code == 403


async def test_gzip_is_unpacked_and_a_bomb_is_not():
    ingest = Ingest(max_body_bytes=2_000, max_bytes_at_once=10_000)
    good = await ingest.post(gzip.compress(b'{"level": 2.5}'), **{"content-encoding": "gzip"})
    bomb = await ingest.post(gzip.compress(b" " * 1_000_000), **{"content-encoding": "gzip"})
    cut = await ingest.post(gzip.compress(b'{"level": 2.5}')[:-9], **{"content-encoding": "gzip"})
    other = await ingest.post(b"x", **{"content-encoding": "br"})
    assert [good.status_code, bomb.status_code, cut.status_code, other.status_code] == [200, 413, 400, 415]


async def test_a_body_that_is_too_large_is_413():
    ingest = Ingest(max_body_bytes=1_024, max_bytes_at_once=10_000)
    answer = await ingest.post(b" " * 2_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "http.body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "kind", "status"),
    [
        ("GET", "/readings", "application/json", 405),
        ("POST", "/nothing", "application/json", 404),
        ("POST", "/readings", "application/xml", 415),
        ("POST", "/readings?mapping=none", "application/json", 404),
        ("POST", "/readings?precision=h", "text/plain", 422),
        ("POST", "/readings?device=nobody", "application/json", 403),
        ("GET", "/commands?wait=soon", "application/json", 422),
        ("GET", "/commands?wait=9999", "application/json", 422),
        ("POST", "/commands/none/ack", "application/json", 404),
    ],
)
async def test_wrong_requests_are_problem_documents(ingest, method, path, kind, status):
    answer = await ingest.call(method, path, b"{}", kind)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"]


async def test_a_full_intake_is_503_with_a_time_to_wait(ingest):
    ingest.house.intake.unavailable = Unavailable("intake.disk_full", path="log", free_mb=0)
    answer = await ingest.post({"level": 1})
    assert (answer.status_code, answer.json()["code"]) == (503, "intake.disk_full")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_repeated_request_changes_nothing(ingest):
    first = await ingest.post({"level": 1}, **{"idempotency-key": "k1"})
    again = await ingest.post({"level": 1}, **{"idempotency-key": "k1"})
    assert first.json()["stored"] == 1
    assert (again.json()["repeated"], again.json()["stored"]) == (True, 1)
    assert len(ingest.house.intake.submissions) == 1
    ingest.adapter.application._answered.clear()  # as after a restart: the intake itself still knows
    later = await ingest.post({"level": 1}, **{"idempotency-key": "k1"})
    assert (later.json()["repeated"], later.json()["stored"]) == (True, 0)


async def test_another_body_under_a_used_key_is_not_lost(ingest):
    await ingest.post({"level": 1}, **{"idempotency-key": "k1"})
    other = await ingest.post({"level": 2}, **{"idempotency-key": "k1"})
    assert "repeated" not in other.json()
    assert len(ingest.house.intake.submissions) == 2


async def test_what_the_intake_rejects_is_told_with_its_reason(ingest, monkeypatch):
    why = Flaw("reading.out_of_range", {"property": "waterLevel"}, "level")

    def refusing(submission):
        answered = Future()
        answered.set_result(Receipt(1, 1, 0, 1, problems=(why,)))
        return answered

    monkeypatch.setattr(ingest.house.intake, "submit", refusing)
    answer = await ingest.post({"level": -900})
    assert [problem["code"] for problem in answer.json()["problems"]] == ["reading.out_of_range"]


async def test_mappings_read_csv_ndjson_and_json(ingest):
    text = 'mapping: m\nformat: rows\nentity: {type: WaterLevelObserved, id: "{s}"}\ntime: {column: t}\n'
    ingest.context.mappings.replace(
        "t", [Mapping.parse(text + "values: [{column: v, property: waterLevel}]", "m.yaml")]
    )
    row = json.dumps({"s": "drain-1", "t": "2026-07-01T08:00:01Z", "v": "2"}).encode()
    csv = await ingest.post(b"s,t,v\ndrain-1,2026-07-01T08:00:00Z,1\n", "text/csv", "?mapping=m")
    ndjson = await ingest.post(row, "application/x-ndjson", "?mapping=m", who="Bearer good")
    listed = await ingest.post(b"[" + row.replace(b":01Z", b":02Z") + b"]", query="?mapping=m")
    assert [answer.json()["stored"] for answer in (csv, ndjson, listed)] == [1, 1, 1]
    foreign = await ingest.post(row.replace(b"drain-1", b"drain-2"), "application/x-ndjson", "?mapping=m")
    assert foreign.json()["rejected"] == 1
    assert ingest.house.intake.codes() == ["device.not_bound"]


async def test_a_gateway_speaks_for_its_child(ingest):
    binding = Binding(ENTITY, "WaterLevelObserved", "*")
    ingest.house.devices.add(Device(id="child", name="child", adapter="http", gateway_id=DEVICE, bindings=(binding,)))
    answer = await ingest.post({"waterLevel": 1}, query="?device=child")
    assert answer.json()["stored"] == 1
    assert ingest.house.intake.readings[0].device_id == "child"


async def test_a_waiting_device_gets_its_command_at_once(ingest):
    async with ingest.client() as client:
        headers = {"authorization": basic(DEVICE, SECRET)}
        polling = asyncio.ensure_future(client.get("/commands?wait=30", headers=headers, timeout=40))
        while not ingest.house.commands.available:
            await asyncio.sleep(0.005)
        assert ingest.house.commands.request(ingest.house.command())
        answer = await polling
    assert [one["id"] for one in answer.json()["items"]] == ["cmd-1"]


async def test_a_big_batch_is_cut_into_submissions_and_adds_up(ingest):
    rows = b"\n".join(
        json.dumps({**ROW, "observedAt": f"2026-07-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z"}).encode()
        for n in range(45_000)
    )
    answer = await ingest.post(rows, "application/x-ndjson", who="Bearer good")
    assert answer.json()["stored"] == 45_000
    assert len(ingest.house.intake.submissions) == 3


async def test_a_waiting_device_whose_secret_is_taken_away_is_refused(ingest):
    ingest.house.devices.add(Device(id="child", name="child", adapter="http", gateway_id=DEVICE))
    async with ingest.client() as client:
        headers = {"authorization": basic(DEVICE, SECRET)}
        paths = ("/commands?wait=30", "/commands?wait=30&device=child")
        polling = [asyncio.ensure_future(client.get(path, headers=headers, timeout=40)) for path in paths]
        while len(ingest.house.commands.available) < len(paths):
            await asyncio.sleep(0.005)
        ingest.adapter.end_connections("child")
        ingest.adapter.end_connections(DEVICE)
        answers = await asyncio.gather(*polling)
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(401, "access.unauthenticated")] * 2
    assert not ingest.house.commands.request(ingest.house.command())
