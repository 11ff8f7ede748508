"""MQTT: the device endpoint (3.1.1 and 5) and the client of external brokers. See ``README.md``."""

from gulou.sensing.adapters.mqtt.adapter import MqttAdapter, create
from gulou.sensing.adapters.mqtt.settings import BrokerSettings, MqttSettings

__all__ = ["BrokerSettings", "MqttAdapter", "MqttSettings", "create"]
