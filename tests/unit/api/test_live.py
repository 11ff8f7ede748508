import time

import pytest
from starlette.websockets import WebSocketDisconnect

from gulou.access import Permission, Principal
from gulou.api import ApiSettings

DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
OWN = {"Origin": "http://city.test"}


@pytest.fixture
def city_settings() -> ApiSettings:
    return ApiSettings(live_frame_s=0.05, live_heartbeat_s=0.2, live_queue=20)


def connect(city, **headers):
    return city.client.websocket_connect("ws://city.test/api/v1/live", headers={**OWN, **headers})


def subscribe(socket, **wanted):
    socket.send_json({"subscribe": wanted})
    return next_of(socket, "heartbeat")


def next_of(socket, kind, within_s=10.0):
    """The next frame of a kind; heartbeats and others are passed over."""
    deadline = time.monotonic() + within_s
    frame = socket.receive_json()
    while frame["kind"] != kind:
        assert time.monotonic() < deadline, f"no {kind} within {within_s} s"
        frame = socket.receive_json()
    return frame


def test_a_change_of_an_entity_is_pushed_with_its_newest_value(drains, level):
    with connect(drains) as socket:
        subscribe(socket, entities={"types": ["WaterLevelObserved"]})
        drains.take(level(0.1, "2026-07-01T07:59:00Z"), level(0.2, "2026-07-01T07:59:30Z"))
        item = next_of(socket, "entities")["items"][0]
    assert item == {
        "id": DRAIN, "type": "WaterLevelObserved", "values": {"waterLevel": 0.2}, "observedAt": "2026-07-01T07:59:30Z",
        "deleted": False,
    }  # fmt: skip


def test_many_changes_come_in_few_frames(drains, level):
    with connect(drains) as socket:
        subscribe(socket, entities=True)
        for number in range(50):
            drains.take(level(number / 100, f"2026-07-01T07:59:{number:02d}Z"))
        frames = [next_of(socket, "entities")]
        while frames[-1]["items"][0]["values"]["waterLevel"] != 0.49:
            frames.append(next_of(socket, "entities"))
    assert len(frames) < 50


def test_a_box_and_a_list_of_ids_narrow(drains, level):
    spot = {"location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [116.4, 39.9]}}}
    drains.take(level(0.1))
    drains.client.patch(f"/api/v1/entities/{DRAIN}/attrs", json=spot)
    with connect(drains) as outside, connect(drains) as inside, connect(drains) as other:
        subscribe(outside, entities={"bbox": [0, 0, 1, 1]})
        subscribe(inside, entities={"bbox": [116, 39, 117, 40]})
        subscribe(other, entities={"ids": ["urn:ngsi-ld:Pump:p1"]})
        drains.take(level(0.3, "2026-07-01T08:00:00.5Z"))
        assert next_of(inside, "entities")["items"][0]["id"] == DRAIN
        assert [outside.receive_json()["kind"], other.receive_json()["kind"]] == ["heartbeat", "heartbeat"]


def test_warnings_incidents_commands_and_devices_are_pushed(drains, level):
    with connect(drains) as socket:
        subscribe(socket, warnings=True, incidents=True, commands=True, devices=True)
        drains.take(level(1.5))
        warning = next_of(socket, "warning")["item"]
        assert (warning["severity"], warning["state"]) == ("yellow", "active")
        drains.client.post(f"/api/v1/warnings/{warning['id']}/actions/0/approve", json={})
        assert next_of(socket, "command")["item"]["device_id"] == "pump-1"
        drains.client.post(f"/api/v1/warnings/{warning['id']}/open-incident", json={})
        assert next_of(socket, "incident")["item"]["warning_ids"] == [warning["id"]]
        drains.services.devices.set_credentials("pump-1", Principal.system("test"))  # is not told
        drains.services.devices.connected("pump-1")
        assert next_of(socket, "device")["items"] == [
            {"id": "pump-1", "change": "connected", "reason": None, "will": None}
        ]


def test_the_ledger_is_pushed_when_it_moves(drains, level):
    with connect(drains) as socket:
        subscribe(socket, accounting=True)
        drains.take(level(0.1))
        frame = next_of(socket, "accounting")
    assert frame["item"]["balanced"] is True


def test_what_one_may_not_read_is_not_pushed(drains, level):
    root = Principal.system("test")
    access = drains.services.access
    _, narrow = access.create_token(root, "n", [Permission("entity.read", None, frozenset({"Pump"}))])
    with connect(drains, Authorization=f"Bearer {narrow}") as socket:
        subscribe(socket, entities=True, warnings=True, incidents=True, commands=True, devices=True, accounting=True)
        drains.take(level(1.5))
        assert [socket.receive_json()["kind"] for _ in range(2)] == ["heartbeat", "heartbeat"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer gulou_x"}, {"Cookie": "gulou_session=x"}])
def test_a_stranger_is_told_to_sign_in(city, headers):
    url = "ws://city.test/api/v1/live"
    with city.client.websocket_connect(url, headers=headers) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == 4401


def test_another_sites_page_can_not_listen(city):
    city.sign_in()
    url, headers = "ws://city.test/api/v1/live", {"Origin": "http://evil.test"}
    with city.client.websocket_connect(url, headers=headers) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == 4401


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"subscribe": {"colours": true}}', '{"subscribe": {"entities": {"bbox": [1]}}}']
)
def test_a_message_that_is_not_understood_is_answered_and_the_connection_goes_on(city, text):
    city.sign_in()
    with connect(city) as socket:
        socket.send_text(text)
        assert next_of(socket, "error")["code"] == "request.malformed"
        subscribe(socket, warnings=True)


def test_a_message_that_is_far_too_long_ends_the_connection(city):
    city.sign_in()
    with connect(city) as socket:
        socket.send_text("x" * 70_000)
        with pytest.raises(WebSocketDisconnect) as closed:
            next_of(socket, "never")
    assert closed.value.code == 1009


def test_a_client_that_does_not_keep_up_is_dropped_and_the_others_go_on(city):
    city.sign_in()
    city.add_user("other", "admin")
    hub = city.client.app.state.live
    with connect(city) as slow:
        subscribe(slow, warnings=True)
        mailbox = hub._mailboxes()[0]
        for _ in range(20_000):  # far quicker than frames can be sent
            mailbox.put({"kind": "warning"})
        with pytest.raises(WebSocketDisconnect) as closed:
            next_of(slow, "never")
    assert closed.value.code == 1013


def test_a_client_that_leaves_is_forgotten(city):
    city.sign_in()
    with connect(city) as socket:
        subscribe(socket, entities=True)
        assert city.client.get("/api/v1/system").json()["live_clients"] == 1
    deadline = time.monotonic() + 10
    while city.client.app.state.live.count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert city.client.app.state.live.count() == 0
