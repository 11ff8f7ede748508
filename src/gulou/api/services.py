"""Everything that the routes call, in one frozen bundle; ``cli/wire.py`` fills it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gulou.api.settings import ApiSettings, TelemetrySettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gulou.access import AccessService, DeviceCredentials
    from gulou.connectivity.bus import InProcessBus, MemoryBus, TimerStatus
    from gulou.connectivity.commands import CommandService
    from gulou.connectivity.devices import DeviceRegistry
    from gulou.connectivity.intake import IntakeService, Ledger, SqlRejectStore
    from gulou.connectivity.traffic import TrafficMeter
    from gulou.hub.context import ContextService
    from gulou.hub.history import HistoryService
    from gulou.hub.rules import RuleService
    from gulou.kernel import Clock
    from gulou.operations.incidents import IncidentService, WarningService
    from gulou.packs import PackService
    from gulou.sensing.loading import LoadService, RejectReplayer
    from gulou.sensing.sdk import Adapter
    from gulou.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services behind the API.

    Args:
        adapters: returns the adapters that run, by name.
        http_ingest: ASGI application of the HTTP adapter, served below ``/ingest/v1``.
        timers: returns how what each part does by the clock fares.
        processes: returns the processes of this installation, name → process id.
        data_directory: for the base map (``maps/base.geojson``) and the disk's state.
        console_directory: what the console's build wrote; None: no pages.
        started_at_us: when this process started, µs UTC.
    """

    clock: Clock
    access: AccessService
    credentials: DeviceCredentials
    vocabulary: Vocabulary
    bus: InProcessBus | MemoryBus
    intake: IntakeService
    ledger: Ledger
    rejects: SqlRejectStore
    replayer: RejectReplayer
    loads: LoadService
    devices: DeviceRegistry
    commands: CommandService
    context: ContextService
    history: HistoryService
    rules: RuleService
    warnings: WarningService
    incidents: IncidentService
    packs: PackService
    traffic: TrafficMeter
    data_directory: Path
    started_at_us: int
    adapters: Callable[[], Mapping[str, Adapter]] = field(default=dict)
    timers: Callable[[], Sequence[TimerStatus]] = tuple
    processes: Callable[[], Mapping[str, int]] = lambda: {"gulou": os.getpid()}
    http_ingest: ASGIApp | None = None
    console_directory: Path | None = None
    settings: ApiSettings = field(default_factory=ApiSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
