"""The application behind a real server: sockets, chunked bodies, WebSocket."""

import asyncio
import json
import socket
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
import websockets

from gulou.access import AccessService, Passwords, Permission, Principal
from gulou.api import ApiSettings, Services, create_app
from gulou.connectivity.bus import InProcessBus
from gulou.hub.context import ContextService, EntitiesChanged, EntityChange, MemoryContextStore
from gulou.kernel import SystemClock
from gulou.records import Database

pytestmark = pytest.mark.integration
PASSWORD = "correct horse battery"
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"


async def ingest(scope, receive, send):
    """Stands for the HTTP adapter: says where it was asked and how much it got."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = json.dumps({"path": scope["path"], "root": scope["root_path"], "size": size}).encode()
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def served(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock, bus = SystemClock(), InProcessBus()
    access = AccessService(database, clock, passwords=Passwords(memory_kib=8, passes=1, lanes=1))
    root = Principal.system("test")
    access.create_user(root, "admin", PASSWORD, roles=["admin"])
    _, secret = access.create_token(root, "t", [Permission("entity.read"), Permission("system.read")])
    context = ContextService(MemoryContextStore(), clock, bus)
    unused = dict.fromkeys(
        (
            "credentials", "vocabulary", "intake", "ledger", "rejects", "replayer", "loads", "devices", "commands",
            "history", "rules", "warnings", "incidents", "packs",
            "traffic",
        )
    )  # fmt: skip
    services = Services(
        **unused,
        clock=clock,
        access=access,
        bus=bus,
        context=context,
        data_directory=tmp_path,
        started_at_us=clock.now_us(),
        http_ingest=ingest,
        settings=ApiSettings(live_frame_s=0.05, live_heartbeat_s=0.2, body_limit_bytes=4096, performance_s=0),
    )
    door = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(services), loop="uvloop", http="httptools", ws="websockets-sansio", log_level="error", lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([door],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = door.getsockname()[1]
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{port}", ws=f"ws://127.0.0.1:{port}/api/v1/live", bus=bus, context=context, secret=secret
    )
    server.should_exit = True
    thread.join(20)
    bus.close()
    database.close()


def wait_until(is_so, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_person_signs_in_and_out(served):
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        session = client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD}).json()
        client.headers["X-Gulou-Csrf"] = session["csrf_token"]
        assert client.get("/api/v1/users").json()["total"] == 1
        assert client.delete("/api/v1/session", headers={"Origin": served.url}).status_code == 204
        assert client.get("/api/v1/users").status_code == 401


def test_ingest_is_handed_over_without_the_pages_limits(served):
    answer = httpx.post(f"{served.url}/ingest/v1/readings", content=b"x" * 100_000, trust_env=False)
    assert answer.json() == {"path": "/ingest/v1/readings", "root": "/ingest/v1", "size": 100_000}


def test_a_body_without_a_length_is_cut_off(served):
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {served.secret}"}
        answer = client.post("/api/v1/entities", content=(b"x" * 1024 for _ in range(10)), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


async def test_changes_arrive_over_a_real_socket(served):
    headers = {"Authorization": f"Bearer {served.secret}"}
    async with websockets.connect(served.ws, additional_headers=headers, proxy=None) as live:
        await live.send('{"subscribe": {"entities": true}}')
        assert json.loads(await live.recv())["kind"] == "heartbeat"
        entity = {"id": DRAIN, "type": "WaterLevelObserved", "waterLevel": {"type": "Property", "value": 1.5}}
        await asyncio.to_thread(served.context.upsert_entity, entity, Principal.system("test"))
        frame = json.loads(await live.recv())
        while frame["kind"] == "heartbeat":
            frame = json.loads(await asyncio.wait_for(live.recv(), 20))
    assert frame["items"][0]["values"] == {"waterLevel": 1.5}


async def test_a_client_that_reads_nothing_holds_nobody_up(served):
    headers = {"Authorization": f"Bearer {served.secret}"}
    entity = {"id": DRAIN, "type": "WaterLevelObserved", "waterLevel": {"type": "Property", "value": 1.5}}
    await asyncio.to_thread(served.context.upsert_entity, entity, Principal.system("test"))
    change = EntitiesChanged(at_us=0, changes=(EntityChange(DRAIN, "WaterLevelObserved", ("waterLevel",)),))
    async with (
        websockets.connect(served.ws, additional_headers=headers, proxy=None, max_queue=1) as idle,
        websockets.connect(served.ws, additional_headers=headers, proxy=None) as live,
    ):
        for one in (idle, live):
            await one.send('{"subscribe": {"entities": true}}')
        frame = {"kind": "nothing yet"}
        async with asyncio.timeout(30):
            while frame["kind"] != "entities":  # what was said before the stream began is not told later
                for _ in range(500):
                    served.bus.publish(change)
                frame = json.loads(await live.recv())
    assert frame["items"][0]["id"] == DRAIN


async def test_a_stranger_is_closed_with_a_code_that_a_page_can_read(served):
    async with websockets.connect(served.ws, proxy=None) as live:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await live.recv()
    assert closed.value.rcvd.code == 4401
