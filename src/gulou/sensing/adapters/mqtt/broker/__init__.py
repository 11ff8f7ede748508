"""The client of external brokers."""

from gulou.sensing.adapters.mqtt.broker.client import BrokerClient

__all__ = ["BrokerClient"]
