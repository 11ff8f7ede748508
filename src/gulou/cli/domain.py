"""The services between the log and the API; the same for the product and for stories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from gulou.access import AccessService, DeviceCredentials
from gulou.connectivity.bus import Bus
from gulou.connectivity.commands import CommandService, CommandSettings
from gulou.connectivity.devices import Device, DeviceRegistry, DeviceSettings, SqlDevices
from gulou.connectivity.intake import (
    IntakeService,
    IntakeSettings,
    Ledger,
    LedgerSettings,
    ReadingLog,
    SeriesCatalogue,
    SqlRejectStore,
)
from gulou.hub.context import ContextService
from gulou.hub.rules import CommandRequester, RuleService, RuleSettings
from gulou.kernel.clock import Clock
from gulou.kernel.settings import load_settings
from gulou.operations.incidents import CommandDesk, FoundDetections, IncidentService, IncidentSettings, WarningService
from gulou.records import Database
from gulou.sensing.sdk import MappingRegistry
from gulou.vocabulary import Vocabulary

S = TypeVar("S", bound=BaseModel)


class SettingsReader:
    """Reads sections of ``city.toml`` and the environment; without a file and an environment, the defaults."""

    def __init__(self, file: Path | None, env: Mapping[str, str]) -> None:
        self._file = file
        self._env = env

    def read(self, section: str, kind: type[S]) -> S:
        """Return one component's settings; raises Invalid ``settings.…`` with file, line and the nearest key."""
        return load_settings(kind, section, self._file, self._env)


class EngineDomain:
    """The services from the log to the commands: what takes, keeps, judges and sends.

    Args:
        settings: reads one section; stories give every component its defaults.
        adapters: those that devices may name; None: any, as in stories.
        device_rows: the table of devices, where it is read ahead.
    """

    def __init__(
        self,
        database: Database,
        log: ReadingLog,
        series: SeriesCatalogue,
        clock: Clock,
        bus: Bus,
        context: ContextService,
        vocabulary: Vocabulary,
        access: AccessService,
        settings: SettingsReader,
        log_folder: Path | None,
        adapters: frozenset[str] | None = None,
        device_rows: SqlDevices | None = None,
    ) -> None:
        audit = access.audit
        self.series = series
        self.clock, self.bus, self.context, self.vocabulary, self.access = clock, bus, context, vocabulary, access
        self.credentials = DeviceCredentials(database, clock)
        self.devices = DeviceRegistry(
            database,
            clock,
            bus,
            audit,
            self.credentials,
            knows=vocabulary,
            adapters=adapters,
            settings=settings.read("devices", DeviceSettings),
            source=device_rows,
        )
        context.place_by(placing_by(self.devices), self.devices.load)
        context.number_by(series)
        self.commands = CommandService(
            database,
            clock,
            bus,
            audit,
            self.devices,
            settings=settings.read("commands", CommandSettings),
            series=series,
        )
        ledger_settings = settings.read("ledger", LedgerSettings)
        self.ledger = Ledger(database, clock, ledger_settings)
        self.rejects = SqlRejectStore(database, clock, ledger_settings)
        self.intake = IntakeService(
            log,
            vocabulary,
            clock,
            self.ledger,
            series=series,
            devices=self.devices,
            settings=settings.read("intake", IntakeSettings),
            directory=log_folder,
        )
        rule_settings = settings.read("rules", RuleSettings)
        self.rules = RuleService(
            database,
            clock,
            bus,
            context,
            devices=self.devices,
            intake=self.intake,
            settings=rule_settings,
            series=self.intake.series,
        )
        context.tell_writes(self.rules.described)
        self.requester = CommandRequester(bus, self.commands, clock, rule_settings)
        self.mappings = MappingRegistry()


class Domain(EngineDomain):
    """The services between the log and the API, the same for the product in one process and for stories."""

    def __init__(
        self,
        database: Database,
        log: ReadingLog,
        series: SeriesCatalogue,
        clock: Clock,
        bus: Bus,
        context: ContextService,
        vocabulary: Vocabulary,
        access: AccessService,
        settings: SettingsReader,
        log_folder: Path | None,
        adapters: frozenset[str] | None = None,
        device_rows: SqlDevices | None = None,
    ) -> None:
        super().__init__(
            database, log, series, clock, bus, context, vocabulary, access, settings, log_folder, adapters, device_rows
        )
        context.restore()
        self.operations = Operations(database, clock, bus, access, self.commands, settings, self.rules.close)
        self.incidents, self.warnings = self.operations.incidents, self.operations.warnings


class Operations:
    """What is made of detections.

    Args:
        commands: where approved commands are requested.
        keep: has the rules make a checkpoint now, so that their record shows what they found.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        access: AccessService,
        commands: CommandDesk,
        settings: SettingsReader,
        keep: Callable[[], None],
    ) -> None:
        own = settings.read("incidents", IncidentSettings)
        self.incidents = IncidentService(database, clock, bus, access.audit, settings=own)
        found = FoundDetections(database, keep)
        self.warnings = WarningService(
            database, clock, bus, access.audit, commands, self.incidents, settings=own, record=found
        )


class DeviceFinder(Protocol):
    """Who knows devices."""

    def find_device(self, device_id: str) -> Device | None: ...


def placing_by(devices: DeviceFinder) -> Callable[[str, str], tuple[float, float] | None]:
    """Return what says where a device is that is bound to an entity itself; a gateway is not where its devices are."""

    def place_of(device_id: str, entity_id: str) -> tuple[float, float] | None:
        device = devices.find_device(device_id)
        if device is None or device.longitude is None or device.latitude is None or device.kind == "gateway":
            return None
        is_bound = any(binding.entity_id == entity_id for binding in device.bindings)
        return (device.longitude, device.latitude) if is_bound else None

    return place_of
