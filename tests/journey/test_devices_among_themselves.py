"""Two devices of one room talk to each other by the city's endpoint, and nothing of it is lost when it is killed."""

from __future__ import annotations

import queue
from contextlib import closing

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

pytestmark = pytest.mark.integration
PATIENCE_S = 20


class Device:
    """A registered device with a session that is to be kept, and what it has heard."""

    def __init__(self, name: str, secret: str, port: int) -> None:
        self.heard: queue.Queue[bytes] = queue.Queue()
        self.connected: queue.Queue[bool] = queue.Queue()
        self.granted: queue.Queue[int] = queue.Queue()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self.paho.username_pw_set(name, secret)
        self.paho.on_connect = lambda _c, _u, flags, _r, _p: self.connected.put(flags.session_present)
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self.granted.put(reasons[0].value)
        self.paho.on_message = lambda _c, _u, message: self.heard.put(message.payload)
        keep = Properties(PacketTypes.CONNECT)
        keep.SessionExpiryInterval = 600
        self.paho.connect("127.0.0.1", port, clean_start=False, properties=keep)
        self.paho.loop_start()
        self.came_back = self.connected.get(timeout=PATIENCE_S)

    def subscribe(self, topic: str) -> int:
        self.paho.subscribe(topic, 1)
        return self.granted.get(timeout=PATIENCE_S)

    def publish(self, topic: str, payload: bytes) -> None:
        self.paho.publish(topic, payload, 1).wait_for_publish(PATIENCE_S)

    def leave(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def test_a_message_to_a_device_that_is_away_outlives_the_kill(server) -> None:
    secrets = {}
    with closing(server.admin()) as admin:
        for name, granted in (("lamp", "rooms/7/#"), ("door", "rooms/7/#"), ("stranger", "")):
            labels = {"mqtt.subscribe": granted, "mqtt.publish": granted}
            device = {"id": name, "name": name, "adapter": "mqtt", "labels": labels}
            admin.post("/devices", json=device).raise_for_status()
            secrets[name] = admin.post(f"/devices/{name}/credentials", json={}).json()["secret"]

    lamp, door, stranger = (Device(name, secrets[name], server.mqtt_port) for name in ("lamp", "door", "stranger"))
    assert (lamp.subscribe("rooms/7/door"), stranger.subscribe("rooms/7/door")) == (1, 0x87)
    door.publish("rooms/7/door", b"open")
    assert lamp.heard.get(timeout=PATIENCE_S) == b"open"
    lamp.leave()
    door.publish("rooms/7/door", b"closed")
    server.kill()
    for one in (door, stranger):
        one.leave()

    server.start()
    again = Device("lamp", secrets["lamp"], server.mqtt_port)
    assert again.came_back
    assert again.heard.get(timeout=PATIENCE_S) == b"closed"
    assert stranger.heard.empty()
    again.leave()
