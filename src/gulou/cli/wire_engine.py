"""The composition root of the engine: what takes readings, keeps them, judges them and sends commands."""

from __future__ import annotations

import gc
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gulou.api.addresses import INGEST_PREFIX
from gulou.cli.domain import EngineDomain
from gulou.cli.door import Door
from gulou.cli.engine_desk import ContextEcho, EngineDesk, HearingBus, RuleBoard
from gulou.cli.place import Place
from gulou.cli.platform import Ticker, attend, enable_packs, mqtt_port_of, undo_all
from gulou.cli.settings import ServerSettings
from gulou.cli.wire import Ground, make_adapters
from gulou.connectivity.bridge import BridgeServer, BridgeSettings, Relay
from gulou.connectivity.commands import CommandChanged, CommandService
from gulou.connectivity.device_heads import HeadsAhead
from gulou.connectivity.devices import DeviceChanged, DeviceConnected, DeviceDisconnected, DeviceRegistry
from gulou.connectivity.intake import IntakeService, Ledger, LogBatch, SegmentLog, SqlRejectStore
from gulou.hub.context import ContextService, ContextSettings, ContextStore
from gulou.hub.rules import Detection, RuleSetChanged
from gulou.packs import PackService
from gulou.sensing.sdk import Adapter

_log = logging.getLogger(__name__)
_INTAKE = ("submit", "drop", "position_of", "settle", "status")
_DEVICES = (
    "create",
    "replace",
    "change",
    "delete",
    "set_credentials",
    "revoke_credentials",
    "bulk",
    "get_device",
    "list_devices",
    "summary",
    "export_csv",
)
_COMMANDS = ("request", "cancel", "get_command", "list_commands", "active_count")
Asgi = Callable[[Any, Any, Any], Any]


class UnsavedStore:
    """A ``ContextStore`` that another process writes: it is only read, at the start."""

    def __init__(self, store: ContextStore) -> None:
        self._store = store

    def load(self) -> Any:
        """Return everything that is saved."""
        return self._store.load()

    def save(self, *_parts: object, **_named: object) -> None:
        """Write nothing: who owns the store does."""

    def save_series(self, *_parts: object, **_named: object) -> None:
        """Write nothing either."""


class Surroundings:
    """Feeds the log to the replica of the context that rules ask. A ``LogConsumer``.

    The replica begins with what the web process has saved, and that process lets the log keep what it has not: so
    nothing needs to be saved here, and what was applied need not be kept for it.
    """

    name = "surroundings"

    def __init__(self, replica: ContextService) -> None:
        self._replica = replica
        self.takes_columns = getattr(replica, "takes_columns", False)
        self._position = self._applied = replica.position()

    def prepare(self, _last_sequence: int) -> None:
        """Bring the replica back."""
        self._replica.restore()

    def position(self) -> int:
        """Return what need not be fed any more."""
        return self._position

    def apply(self, batch: LogBatch) -> None:
        """Take one batch."""
        self._replica.apply(batch)
        self._applied = max(self._applied, batch.sequence)

    def checkpoint(self) -> None:
        """Let the log go on."""
        self._position = self._applied


class Engine:
    """The engine's life: start in order, tick, stop in the opposite order."""

    def __init__(
        self,
        ground: Ground,
        domain: EngineDomain,
        log: SegmentLog,
        packs: PackService,
        adapters: dict[str, Adapter],
        bridge: BridgeServer,
        ticker: Ticker,
    ) -> None:
        self._ground = ground
        self._domain = domain
        self._log = log
        self._packs = packs
        self._adapters = adapters
        self._bridge = bridge
        self._ticker = ticker
        self._door: Door | None = None
        self._undo: list[Callable[[], object]] = []

    def start(self, sockets: Sequence[socket.socket], serving: Callable[[], object] = lambda: None) -> None:
        """Start everything; where one part cannot, those that have been started are stopped again.

        Args:
            sockets: where HTTP ingest is served.
            serving: called when devices are served, before the rest is there.
        """
        domain = self._domain
        self._undo.append(self._close_stores)
        try:
            enable_packs(self._packs, self._ground.packs_at_first)
            domain.requester.catch_up(domain.rules)
            domain.intake.start(waits=False)
            self._undo.append(domain.intake.stop)
            self._undo.append(domain.devices.stop)
            for adapter in self._adapters.values():
                adapter.start()
                self._undo.append(adapter.stop)
            attend(domain.bus, domain.devices, self._adapters)
            ingest = getattr(self._adapters.get("http"), "application", None)
            self._door = Door(EngineApplication(ingest, self.state), sockets, name="ingest")
            self._door.open()
            self._undo.append(self._door.close)
            serving()
            domain.intake.begin_replay()  # not before: it would take half of the time that devices wait for
            domain.intake.await_replay()  # then who asks what is known of devices and of the city
            self._bridge.start()
            self._undo.append(self._bridge.stop)
            self._ticker.start()
            self._undo.append(self._ticker.stop)
        except BaseException:
            self.stop()
            raise
        finally:
            gc.enable()

    def stop(self) -> None:
        """Stop taking, finish what was taken, make it durable, close."""
        undo_all(self._undo)

    def died(self) -> bool:
        """Whether HTTP ingest has ended without being told to."""
        return self._door is not None and self._door.died()

    def state(self) -> str:
        """Return the intake's state, ``running`` when all is well."""
        return str(self._domain.intake.status()["state"])

    def mqtt_port(self) -> int | None:
        """Return where MQTT devices connect."""
        return mqtt_port_of(self._adapters)

    def _close_stores(self) -> None:
        self._domain.rules.close()
        self._domain.requester.close()
        self._domain.bus.close()
        self._log.close()
        self._domain.series.close()
        self._ground.database.close()
        self._ground.context_database.close()


def build_engine(
    place: Place, server: ServerSettings, mqtt_port: int | None = None, heads: HeadsAhead | None = None
) -> Engine:
    """Build the engine on a data directory that its supervisor holds; nothing is started yet.

    Args:
        heads: of the devices, where somebody has begun to read them.
    """
    gc.disable()  # until it is started: what is made now stays, and there are millions of it
    ground = Ground(place, server, supervisor=os.getppid(), heads=heads)
    clock, bus = ground.clock, ground.bus
    replica = ContextService(
        UnsavedStore(ground.context_store),
        clock,
        HearingBus(bus),
        vocabulary=ground.vocabulary,
        settings=ground.settings.read("context", ContextSettings),
    )
    log, parts = ground.engine(replica)
    domain = EngineDomain(*parts)
    for consumer in (domain.rejects, Surroundings(replica), domain.commands, domain.rules):
        domain.intake.add_consumer(consumer)
    packs = ground.packs(domain.mappings, domain.rules)
    adapters = make_adapters(domain, ground, mqtt_port)
    settings = ground.settings.read("bridge", BridgeSettings)
    relay = Relay(
        (Detection, CommandChanged, DeviceChanged, RuleSetChanged),
        (DeviceConnected, DeviceDisconnected),
        settings.kept_messages,
    )
    bridge = BridgeServer(place.bridge, bus, relay, settings)
    bridge.expose("intake", domain.intake, IntakeService, _INTAKE)
    bridge.expose("ledger", domain.ledger, Ledger, ("accounts", "account", "total", "drops", "origin"))
    bridge.expose("rejects", domain.rejects, SqlRejectStore, ("get_rejected", "list_rejected"))
    bridge.expose("devices", domain.devices, DeviceRegistry, _DEVICES)
    bridge.expose("commands", domain.commands, CommandService, _COMMANDS)
    bridge.expose("packs", packs, PackService, ("enable", "disable"))
    bridge.expose("rules", RuleBoard(domain.rules), RuleBoard)
    bridge.expose("context", ContextEcho(replica), ContextEcho)
    ticker = Ticker(
        clock,
        {"devices": domain.devices, "commands": domain.commands, "rules": domain.rules, "intake": domain.intake},
    )
    bridge.expose("engine", EngineDesk(bus, adapters, ticker, clock.now_us()), EngineDesk)
    return Engine(ground, domain, log, packs, adapters, bridge, ticker)


class EngineApplication:
    """HTTP ingest at ``/ingest/v1``, and what a probe asks at ``/health/live`` and ``/health/ready``."""

    def __init__(self, ingest: Asgi | None, state: Callable[[], str]) -> None:
        self._ingest = ingest
        self._state = state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; the lifespan has nothing to do here."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path = scope["path"]
        if self._ingest is not None and path.startswith(f"{INGEST_PREFIX}/"):
            await self._ingest({**scope, "root_path": scope.get("root_path", "") + INGEST_PREFIX}, receive, send)
        elif path == "/health/live":
            await _answer(send, 200, {"status": "ok", "parts": {"engine": "running"}})
        elif path == "/health/ready":
            state = self._state()
            is_ready = state == "running"
            parts = {"engine": "running", "intake": state}
            await _answer(
                send, 200 if is_ready else 503, {"status": "ok" if is_ready else "unavailable", "parts": parts}
            )
        else:
            await _answer(send, 404, {"status": 404, "title": "Not Found", "code": "http.path_unknown"})


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send: Any, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})
