"""The endpoint under the contract that every adapter passes, in both protocol versions."""

from __future__ import annotations

import pytest

from gulou.sensing.adapters.mqtt import MqttAdapter, MqttSettings
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk import Adapter, AdapterContext
from gulou.sensing.sdk.contract import CommandContract, Peer, UplinkContract

pytestmark = pytest.mark.integration


class _Mqtt:
    version = 4

    def make(self, context: AdapterContext) -> Adapter:
        return MqttAdapter(MqttSettings(port=0), context)

    def connect(self, adapter: Adapter, device_id: str, secret: str) -> Peer:
        return MqttPeer(adapter.addresses["mqtt"], device_id, secret, version=self.version)


class TestUplink311(_Mqtt, UplinkContract):
    version = 4


class TestUplink5(_Mqtt, UplinkContract):
    version = 5


class TestCommands311(_Mqtt, CommandContract):
    version = 4


class TestCommands5(_Mqtt, CommandContract):
    version = 5
