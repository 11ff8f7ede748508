"""The composition root: the only place that builds things.

``build_platform`` makes the whole product on a data directory; ``build_stage`` makes the same services in memory, on a
virtual clock, for stories.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Named
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import gulou
from gulou.access import AccessService, AccessSettings
from gulou.api import ApiSettings, Services, TelemetrySettings, create_app
from gulou.cli.domain import Domain, EngineDomain, SettingsReader
from gulou.cli.place import Place
from gulou.cli.platform import Platform, Ticker, Timed
from gulou.cli.settings import ServerSettings
from gulou.connectivity.bridge import BridgeSettings
from gulou.connectivity.bus import InProcessBus, MemoryBus
from gulou.connectivity.commands import CommandSettings
from gulou.connectivity.device_heads import HeadsAhead
from gulou.connectivity.devices import DeviceSettings, SqlDevices
from gulou.connectivity.intake import (
    IntakeSettings,
    LedgerSettings,
    LogSettings,
    MemoryLog,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.connectivity.traffic import TrafficMeter
from gulou.hub.context import ContextService, ContextSettings, MemoryContextStore, SqlContextStore
from gulou.hub.history import HistoryService, HistorySettings
from gulou.hub.rules import RuleService, RuleSettings
from gulou.kernel.clock import SystemClock, VirtualClock
from gulou.kernel.errors import NotFound
from gulou.kernel.settings import check_names
from gulou.operations.incidents import IncidentSettings
from gulou.packs import Pack, PackService, Stage
from gulou.records import Database, migrate
from gulou.sensing.loading import LoadService, RejectReplayer
from gulou.sensing.sdk import Adapter, AdapterContext, FoundAdapter, Mapping, MappingRegistry, find_adapters, section_of
from gulou.vocabulary import Vocabulary

SECTIONS: Named[str, type[BaseModel]] = {
    "server": ServerSettings,
    "api": ApiSettings,
    "telemetry": TelemetrySettings,
    "access": AccessSettings,
    "log": LogSettings,
    "intake": IntakeSettings,
    "ledger": LedgerSettings,
    "devices": DeviceSettings,
    "commands": CommandSettings,
    "bridge": BridgeSettings,
    "context": ContextSettings,
    "history": HistorySettings,
    "rules": RuleSettings,
    "incidents": IncidentSettings,
}
"""Every section of ``city.toml`` but those of adapters, which are ``[adapter-<name>]``."""
_OTHER_VARIABLES = ("GULOU_DATA", "GULOU_LANG", "GULOU_CITY_DATA")
"""Read by the command line and by tests, not settings of a component."""


class Ground:
    """What every process of an installation stands on: settings, records, vocabulary, access, a bus of its own.

    Args:
        bus: makes this process's bus.
        supervisor: its process id where there is one: what its other part has checked is not checked again.
        heads: of the devices, where somebody has begun to read them.
    """

    def __init__(
        self,
        place: Place,
        server: ServerSettings,
        *,
        bus: Callable[[], InProcessBus] = InProcessBus,
        supervisor: int | None = None,
        heads: HeadsAhead | None = None,
    ) -> None:
        self.place, self.server = place, server
        self.found = list(find_adapters([place.adapters]))
        self.settings = SettingsReader(place.settings, os.environ)
        _check_settings(place, self.settings, self.found)
        self.clock = SystemClock()
        with place.preparing():  # two processes may start at the same time
            place.check_records(supervisor)
            self.database = Database(server.records_url) if server.records_url else Database.at(place.records)
            revision = migrate(self.database)
            self.context_database = Database.at(place.context)
            self.context_store = SqlContextStore(self.context_database)
            self.context_store.create_tables()
        self.vocabulary = Vocabulary.load()
        self.access = AccessService(self.database, self.clock, self.settings.read("access", AccessSettings))
        self.bus = bus()
        self._device_rows = SqlDevices(self.database, lambda: heads.take(revision) if heads is not None else None)

    @property
    def adapter_names(self) -> frozenset[str]:
        """The adapters that devices may name."""
        return frozenset(one.manifest.name for one in self.found)

    @property
    def packs_at_first(self) -> tuple[str, ...]:
        """The packs to enable where none has ever been enabled or disabled."""
        return tuple(name.strip() for name in self.server.packs_enabled.split(",") if name.strip())

    def context(self) -> ContextService:
        """Make the state of the city, saved to its store."""
        settings = self.settings.read("context", ContextSettings)
        return ContextService(self.context_store, self.clock, self.bus, self.vocabulary, self.access.audit, settings)

    def history(self, series: SeriesCatalogue) -> HistoryService:
        """Make the history; one process at a time has it."""
        return HistoryService(self.place.history, self.clock, self.settings.read("history", HistorySettings), series)

    def engine(self, context: ContextService) -> tuple[SegmentLog, EngineParts]:
        """Return the log, opened for writing, and what an ``EngineDomain`` is made of."""
        log = SegmentLog(self.place.log, self.settings.read("log", LogSettings))
        series = SeriesCatalogue(self.place.log / "series", keys=log.keys)
        parts = (
            self.database,
            log,
            series,
            self.clock,
            self.bus,
            context,
            self.vocabulary,
            self.access,
            self.settings,
            self.place.log,
            self.adapter_names,
            self._device_rows,
        )
        return log, parts

    def packs(self, mappings: MappingRegistry, rules: RuleService) -> PackService:
        """Make the packs' service."""
        return PackService(
            (self.place.packs, builtin_packs()),
            self.place.root / "packs-running",
            self.vocabulary,
            mappings,
            rules,
            self.database,
            self.clock,
            self.access.audit,
        )


EngineParts = tuple[
    Database,
    SegmentLog,
    SeriesCatalogue,
    SystemClock,
    InProcessBus,
    ContextService,
    Vocabulary,
    AccessService,
    SettingsReader,
    Path,
    frozenset[str],
    SqlDevices,
]


def build_platform(place: Place, server: ServerSettings, *, listen: bool, mqtt_port: int | None = None) -> Platform:
    """Build the whole product for one process, on a data directory that it holds; nothing is started yet.

    Args:
        listen: whether adapters open their sockets.
    """
    ground = Ground(place, server)
    clock, settings = ground.clock, ground.settings
    context = ground.context()
    log, parts = ground.engine(context)
    domain = Domain(*parts)
    history = ground.history(domain.series)
    traffic = TrafficMeter(domain.series, log.last_sequence())
    for consumer in (domain.rejects, domain.context, history, domain.commands, domain.rules, traffic):
        domain.intake.add_consumer(consumer)
    packs = ground.packs(domain.mappings, domain.rules)
    history.retain_by(packs.retention)
    adapters = make_adapters(domain, ground, mqtt_port)
    http = adapters.get("http")
    timed: dict[str, Timed] = {
        "devices": domain.devices,
        "commands": domain.commands,
        "rules": domain.rules,
        "warnings": domain.warnings,
        "incidents": domain.incidents,
        "intake": domain.intake,
    }
    ticker = Ticker(clock, timed)
    services = Services(
        clock=clock,
        access=ground.access,
        credentials=domain.credentials,
        vocabulary=ground.vocabulary,
        bus=ground.bus,
        intake=domain.intake,
        ledger=domain.ledger,
        rejects=domain.rejects,
        replayer=RejectReplayer(domain.rejects, domain.mappings, domain.intake, domain.devices),
        loads=LoadService(domain.intake, domain.mappings, domain.ledger, clock),
        devices=domain.devices,
        commands=domain.commands,
        context=context,
        history=history,
        rules=domain.rules,
        warnings=domain.warnings,
        incidents=domain.incidents,
        packs=packs,
        traffic=traffic,
        timers=ticker.status,
        data_directory=place.root,
        started_at_us=clock.now_us(),
        adapters=lambda: adapters,
        http_ingest=getattr(http, "application", None),
        console_directory=console_folder(),
        settings=settings.read("api", ApiSettings),
        telemetry=settings.read("telemetry", TelemetrySettings),
    )
    app: Any = create_app(services)
    return Platform(
        app=app,
        services=services,
        domain=domain,
        log=log,
        adapters=adapters if listen else {},
        ticker=ticker,
        databases=(ground.database, ground.context_database),
        packs_at_first=ground.packs_at_first,
    )


def build_stage(pack: Pack, start_us: int) -> Stage:
    """Build the same services in memory, on a virtual clock, with one pack in force; for its stories."""
    clock = VirtualClock(start_us)
    folder = tempfile.TemporaryDirectory(prefix="gulou-story-")
    database = Database.at(Path(folder.name) / "records.db")
    database.create_tables()
    vocabulary = scratch_vocabulary()
    if pack.types:
        vocabulary.extend(pack.root / "vocabulary", pack.manifest.name)
    bus = MemoryBus()
    access = AccessService(database, clock)
    context = ContextService(MemoryContextStore(), clock, bus, vocabulary, access.audit)
    log = MemoryLog()
    domain = Domain(
        database, log, SeriesCatalogue(), clock, bus, context, vocabulary, access, SettingsReader(None, {}), None
    )
    for consumer in (domain.rejects, domain.context, domain.commands, domain.rules):
        domain.intake.add_consumer(consumer)
    domain.rules.load(pack.rules)
    domain.rules.start(log.last_sequence())
    domain.intake.start()

    def close() -> None:
        domain.intake.stop()
        domain.rules.wait_kept()
        database.close()
        folder.cleanup()

    return Stage(
        clock=clock,
        intake=domain.intake,
        context=domain.context,
        devices=domain.devices,
        commands=domain.commands,
        rules=domain.rules,
        warnings=domain.warnings,
        incidents=domain.incidents,
        rejects=domain.rejects,
        bus=bus,
        close=close,
    )


def builtin_packs() -> Path:
    """Return where the packs that come with Gulou lie: inside the wheel, or beside the source."""
    inside = Path(str(files("gulou") / "packs" / "builtin"))
    return inside if inside.is_dir() else Path(gulou.__file__).parents[2] / "packs"


def console_folder() -> Path | None:
    """Return where the built console lies, or None where it has not been built."""
    folder = Path(str(files("gulou") / "web"))
    return folder if (folder / "index.html").is_file() else None


def scratch_vocabulary() -> Vocabulary:
    """Return a vocabulary that a caller may extend for itself."""
    return Vocabulary.load()


def pack_root(pack: str, place: Place) -> Path:
    """Find a pack by its folder's path or by its name; raises NotFound ``pack.unknown``."""
    for candidate in (Path(pack), place.packs / pack, builtin_packs() / pack):
        if (candidate / "pack.yaml").is_file():
            return candidate.resolve()
    if Path(pack).is_dir():
        return Path(pack).resolve()  # no manifest: the check says so
    raise NotFound("pack.unknown", name=pack)


def find_mapping(name: str, place: Place) -> Mapping:
    """Find a payload mapping in the packs that lie here; raises NotFound ``mapping.unknown``."""
    registry = MappingRegistry()
    for folder in (place.packs, builtin_packs()):
        for sources in sorted(folder.glob("*/sources")):
            registry.load_directory(sources, sources.parent.name)
        if registry.find(name) is not None:
            break
    return registry.get(name)


def _check_settings(place: Place, settings: SettingsReader, found: Iterable[FoundAdapter]) -> None:
    """Refuse a wrong setting before anything is built; raises Invalid ``settings.…`` that names the nearest."""
    adapters = {section_of(one.manifest.name): one.settings_class() for one in found if one.manifest.settings}
    known = {**SECTIONS, **adapters}
    check_names(known, place.settings, os.environ, _OTHER_VARIABLES)
    for section, kind in known.items():
        settings.read(section, kind)


def make_adapters(domain: EngineDomain, ground: Ground, mqtt_port: int | None) -> dict[str, Adapter]:
    """Make every adapter that is found, and let commands go through it."""
    context = AdapterContext(
        intake=domain.intake,
        devices=domain.devices,
        credentials=domain.credentials,
        mappings=domain.mappings,
        programs=domain.access,
        commands=domain.commands,
        clock=domain.clock,
        environment=os.environ,
        vocabulary=domain.vocabulary,
        directory=ground.place.root / "endpoints",
    )
    made: dict[str, Adapter] = {}
    for found in ground.found:
        made[found.manifest.name] = adapter = found.make(_adapter_settings(found, ground.settings, mqtt_port), context)
        domain.commands.register_sender(found.manifest.name, adapter)
    return made


def _adapter_settings(found: FoundAdapter, settings: SettingsReader, mqtt_port: int | None) -> BaseModel | None:
    if found.manifest.settings is None:
        return None
    read = settings.read(section_of(found.manifest.name), found.settings_class())
    if found.manifest.name == "mqtt" and mqtt_port is not None:  # the command line's word is the last
        return read.model_copy(update={"port": mqtt_port})
    return read
