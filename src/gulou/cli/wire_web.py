"""The composition root of the web process: all that people and programs ask, fed by the log that the engine writes."""

from __future__ import annotations

import gc
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, cast

from gulou.access import DeviceCredentials, Principal
from gulou.api import ApiSettings, Services, TelemetrySettings, create_app
from gulou.cli.domain import Operations, placing_by
from gulou.cli.door import Door
from gulou.cli.engine_desk import ContextEcho, RuleBoard
from gulou.cli.ingest_relay import IngestRelay
from gulou.cli.place import Place
from gulou.cli.platform import Ticker, make_local_token, undo_all
from gulou.cli.settings import ServerSettings
from gulou.cli.web_desk import (
    ContextDesk,
    DeviceDesk,
    EngineView,
    IntakeDesk,
    KeptToken,
    LedgerDesk,
    PackDesk,
    RuleDesk,
    WebBus,
    WebTimers,
)
from gulou.cli.wire import Ground, console_folder
from gulou.connectivity.bridge import BridgeClient, BridgeSettings
from gulou.connectivity.commands import CommandService
from gulou.connectivity.devices import DeviceChanged, DeviceRegistry, DeviceReplica
from gulou.connectivity.intake import (
    FollowingApplier,
    IntakeService,
    Ledger,
    LogFollower,
    LogKeys,
    LogSettings,
    SeriesCatalogue,
    SqlRejectStore,
)
from gulou.connectivity.traffic import TrafficMeter
from gulou.hub.rules import RuleService, RuleSettings
from gulou.kernel.errors import Denied, Unavailable
from gulou.packs import PackService
from gulou.sensing.loading import LoadService, RejectReplayer
from gulou.sensing.sdk import DeviceDirectory, MappingRegistry

_log = logging.getLogger(__name__)
READER = "web"
"""Under this name the log keeps what this process has not made durable yet."""
_FIRST_ENGINE_S = 60.0
_CAUGHT_UP_WITHIN_S = 20.0


class Web:
    """The web process: start in order, tick, stop in the opposite order.

    Attributes:
        first_password: of ``admin``, at the first start only.
    """

    def __init__(
        self,
        ground: Ground,
        services: Services,
        operations: Operations,
        client: BridgeClient,
        applier: FollowingApplier,
        packs: PackService,
        ticker: Ticker,
        closing: list[Callable[[], object]],
    ) -> None:
        self.first_password: str | None = None
        self._ground = ground
        self._services = services
        self._operations = operations
        self._client = client
        self._applier = applier
        self._packs = packs
        self._ticker = ticker
        self._token = KeptToken(ground.place.token)
        self._token_id: str | None = None
        self._door: Door | None = None
        self._closing = closing
        self._undo: list[Callable[[], object]] = []

    def start(self, door: socket.socket) -> None:
        """Start everything and catch up with the log; where one part cannot, the others are stopped again."""
        services = self._services
        self._undo += self._closing
        try:
            self.first_password = services.access.ensure_first_admin()
            self._client.start()
            self._undo.append(self._client.stop)
            self._follow_packs()
            services.history.start()
            self._undo.append(services.history.close)
            services.context.start()
            self._undo.append(services.context.close)
            self._applier.start()
            self._undo.append(self._applier.stop)
            self._ticker.start()
            self._undo.append(self._ticker.stop)
            self._open(door)
            gc.enable()
            self._catch_up()
        except BaseException:
            self.stop()
            raise
        finally:
            gc.enable()

    def stop(self) -> None:
        """Answer what was asked, make durable what was applied, close."""
        if self._token_id is not None:
            self._services.access.revoke_token(Principal.system("cli"), self._token_id)
            self._token_id = None
            self._token.forget()
        undo_all(self._undo)

    def died(self) -> bool:
        """Whether the API has ended without being told to."""
        return self._door is not None and self._door.died()

    def local_token(self) -> str:
        """Return the token of this user's command line; the one of a web process that was killed holds on."""
        access = self._services.access
        kept = self._token.read()
        if kept is not None:
            try:
                self._token_id = access.authenticate_token(kept).id
                return kept
            except Denied:
                _log.info("the command line's token is not valid any more")
        self._token_id, secret = make_local_token(access)
        self._token.write(secret)
        return secret

    def _follow_packs(self) -> None:
        """Know the types, mappings and rules in force before anything is read by them."""
        if self._packs.never_decided():
            self._client.wait(_FIRST_ENGINE_S)  # the engine enables the first ones
        self._packs.follow()

    def _open(self, door: socket.socket) -> None:
        server = self._ground.server
        is_secure = bool(server.tls_certificate)
        app: Any = create_app(self._services)
        self._door = Door(
            app,
            [door],
            name="web",
            certificate=server.tls_certificate if is_secure else None,
            key=server.tls_key if is_secure else None,
        )
        self._door.open()
        self._undo.append(self._door.close)

    def _catch_up(self) -> None:
        """Wait a while for what was stored before this start; what takes longer comes while pages are served."""
        try:
            self._applier.settle(_CAUGHT_UP_WITHIN_S)
        except Unavailable as error:
            _log.warning("the page is still catching up with the log: %s", error)


def build_web(place: Place, server: ServerSettings) -> Web:
    """Build the web process on a data directory that its supervisor holds; nothing is started yet."""
    gc.disable()  # until it is started: what is made now stays, and there are millions of it
    ground = Ground(place, server, bus=WebBus, supervisor=os.getppid())
    clock, bus, access, settings = ground.clock, cast(WebBus, ground.bus), ground.access, ground.settings
    client = BridgeClient(place.bridge, bus, settings.read("bridge", BridgeSettings))
    engine = bus.engine = EngineView(client, ground.found)
    replica = DeviceReplica(ground.database, ground.vocabulary)
    keys = LogKeys.read(settings.read("log", LogSettings).encryption_key_file)
    series = SeriesCatalogue(place.log / "series", readonly=True, keys=keys)
    context, history = ground.context(), ground.history(series)
    context.place_by(placing_by(replica), replica.load)
    context.number_by(series)
    context.restore()
    follower = LogFollower(place.log, READER, keys=keys)
    traffic = TrafficMeter(series, follower.last_sequence())
    applier = FollowingApplier(follower, series, (context, history, traffic))
    mappings = MappingRegistry()
    board = client.remote(RuleBoard, "rules")
    rules = RuleDesk(board, context, settings.read("rules", RuleSettings))
    packs = ground.packs(mappings, cast(RuleService, rules))
    history.retain_by(packs.retention)
    commands = client.remote(CommandService, "commands")
    operations = Operations(ground.database, clock, bus, access, commands, settings, board.keep)
    intake = IntakeDesk(client.remote(IntakeService, "intake"), applier)
    ledger = LedgerDesk(client.remote(Ledger, "ledger"))
    rejects = client.remote(SqlRejectStore, "rejects")
    devices = DeviceDesk(client.remote(DeviceRegistry, "devices"), replica)
    told = ContextDesk(context, client.remote(ContextEcho, "context"))
    ticker = Ticker(clock, {"warnings": operations.warnings, "incidents": operations.incidents, "applier": applier})
    services = Services(
        clock=clock,
        access=access,
        credentials=DeviceCredentials(ground.database, clock),
        vocabulary=ground.vocabulary,
        bus=bus,
        intake=cast(IntakeService, intake),
        ledger=cast(Ledger, ledger),
        rejects=rejects,
        replayer=RejectReplayer(rejects, mappings, intake, cast(DeviceDirectory, devices)),
        loads=LoadService(intake, mappings, ledger, clock),
        devices=cast(DeviceRegistry, devices),
        commands=commands,
        context=cast(Any, told),
        history=history,
        rules=cast(RuleService, rules),
        warnings=operations.warnings,
        incidents=operations.incidents,
        packs=cast(PackService, PackDesk(client.remote(PackService, "packs"), packs)),
        traffic=traffic,
        timers=WebTimers(engine, ticker).status,
        data_directory=place.root,
        started_at_us=clock.now_us(),
        adapters=cast(Any, engine.adapters),
        processes=lambda: {**engine.process_ids(), "web": os.getpid(), "supervisor": os.getppid()},
        http_ingest=IngestRelay(place.ingest),
        console_directory=console_folder(),
        settings=settings.read("api", ApiSettings),
        telemetry=settings.read("telemetry", TelemetrySettings),
    )

    def renewed(missing: bool) -> None:
        """The engine is there (again): take over what may have changed without this process's knowing."""
        engine.renew()
        packs.follow()
        told.flush()
        if missing:
            replica.reload()
            operations.warnings.catch_up(missing=True)

    client.on_renewed("web", renewed)
    bus.subscribe(DeviceChanged, replica.hear, name="devices.replica")
    closing: list[Callable[[], object]] = [
        series.close,
        follower.close,
        ground.context_database.close,
        ground.database.close,
        bus.close,
    ]
    return Web(ground, services, operations, client, applier, packs, ticker, closing)
