"""What the tests of the endpoint share: a house in memory, adapters that are stopped again, peers."""

from __future__ import annotations

import dataclasses

import pytest

from gulou.connectivity.devices.model import Device
from gulou.sensing.adapters.mqtt import MqttAdapter, MqttSettings
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.sdk.contract import House

ROOMS = "rooms/#,$rooms/#,/rooms"


class Rooms(House):
    """A house with three devices that are granted ``rooms/#``, and a stranger that is granted nothing."""

    def __init__(self, directory=None) -> None:
        super().__init__()
        self.directory = directory
        for device_id in ("lamp", "door", "bell"):
            self.grant(device_id, ROOMS, ROOMS)
        self.grant("stranger", "", "")

    def grant(self, device_id, hear, say) -> None:
        labels = {"mqtt.subscribe": hear, "mqtt.publish": say}
        self.devices.add(Device(id=device_id, name=device_id, adapter="mqtt", labels=labels), "secret")

    def context(self) -> AdapterContext:
        return dataclasses.replace(super().context(), directory=self.directory)


@pytest.fixture
def rooms(tmp_path):
    return Rooms(tmp_path / "endpoints")


@pytest.fixture
def serve(rooms):
    """Start an adapter on a free port; the same house may have several, one after another."""
    started = []

    def make(**settings):
        adapter = MqttAdapter(MqttSettings(port=0, **settings), rooms.context())
        rooms.commands.send = adapter.send
        adapter.start()
        started.append(adapter)
        return adapter

    yield make
    for adapter in started:
        adapter.stop()


@pytest.fixture
def enter():
    """Connect a device; every connection is closed at the end."""
    peers = []

    def connect(adapter, device_id, **more):
        peer = MqttPeer(adapter.addresses["mqtt"], device_id, "secret", **{"subscribe": False, "version": 5, **more})
        peers.append(peer)
        return peer

    yield connect
    for peer in peers:
        peer.close()
