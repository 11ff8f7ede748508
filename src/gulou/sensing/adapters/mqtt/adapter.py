"""The MQTT adapter: the device endpoint and the clients of external brokers under one name."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from gulou.connectivity.commands.model import Command
from gulou.sensing.adapters.mqtt.broker import BrokerClient
from gulou.sensing.adapters.mqtt.endpoint import Endpoint
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import AdapterContext, Counters, Health, load_manifest


class MqttAdapter:
    """Implements ``Adapter``. An engine may take the endpoint's place behind the same four methods."""

    def __init__(self, settings: MqttSettings, context: AdapterContext) -> None:
        self.manifest = load_manifest(Path(__file__).parent / "manifest.yaml")
        self.counters = Counters()
        self.settings = settings
        self._endpoint = (
            Endpoint(settings, context, self.counters, ("mqtt", self.manifest.label)) if settings.listen else None
        )
        self._brokers = [
            BrokerClient(broker, context, self.counters, self.manifest.label) for broker in settings.brokers
        ]

    def start(self) -> None:
        """Listen, and begin to connect to the brokers."""
        if self._endpoint is not None:
            self._endpoint.start()
        for broker in self._brokers:
            broker.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Take nothing more, finish what was taken, close."""
        for broker in self._brokers:
            broker.stop(timeout_s)
        if self._endpoint is not None:
            self._endpoint.stop(timeout_s)

    def health(self) -> Health:
        """Tell where it listens and which brokers are away."""
        addresses = {name: f"{host}:{port}" for name, (host, port) in self.addresses.items()}
        away = [broker for broker in self._brokers if not broker.connected]
        if away:
            params: dict[str, str | int] = {"broker": away[0].settings.name, "problem": away[0].problem}
            return Health("degraded", "adapter.broker_away", params, addresses)
        return Health("up", addresses=addresses)

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where the endpoint listens: ``mqtt`` and, with TLS, ``mqtts``."""
        return self._endpoint.addresses if self._endpoint is not None else {}

    def send(self, command: Command) -> bool:
        """Hand a command to a connected device."""
        return self._endpoint.send(command) if self._endpoint is not None else False

    def end_connections(self, device_id: str) -> None:
        """End what a device has open: it may not be here any more, or not with this secret."""
        if self._endpoint is not None:
            self._endpoint.end_connections(device_id)

    def refresh_mappings(self) -> None:
        """Subscribe to topics of mappings that packs have brought meanwhile."""
        for broker in self._brokers:
            broker.refresh()


def create(settings: BaseModel | None, context: AdapterContext) -> MqttAdapter:
    """Make the adapter; named by the manifest."""
    return MqttAdapter(settings if isinstance(settings, MqttSettings) else MqttSettings(), context)
