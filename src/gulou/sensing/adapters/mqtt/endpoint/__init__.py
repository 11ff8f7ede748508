"""The built-in device endpoint: devices connect here by MQTT. Not a broker: devices hear only their own commands."""

from gulou.sensing.adapters.mqtt.endpoint.server import Endpoint

__all__ = ["Endpoint"]
