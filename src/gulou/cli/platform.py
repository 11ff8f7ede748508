"""The built platform's life: start in order, tick, stop in the opposite order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gulou.access import ACTIONS, Permission, Principal
from gulou.connectivity.bus import TimerStatus, deliver
from gulou.connectivity.devices import DeviceChanged
from gulou.hub.rules import RuleSetChanged
from gulou.kernel.errors import GulouError

if TYPE_CHECKING:
    from gulou.access import AccessService
    from gulou.api import Services
    from gulou.cli.domain import Domain
    from gulou.connectivity.bus import Bus
    from gulou.connectivity.devices import DeviceRegistry
    from gulou.connectivity.intake import SegmentLog
    from gulou.kernel.clock import Clock
    from gulou.packs import PackService
    from gulou.records import Database
    from gulou.sensing.sdk import Adapter

_log = logging.getLogger(__name__)
_TICK_S = 1.0
_TOKEN_NAME = "local command line"  # noqa: S105  # a name, no secret


@dataclass(kw_only=True)
class Platform:
    """Everything that runs in one process.

    Args:
        app: the ASGI application.
        adapters: those whose sockets this process opens, by name.
        packs_at_first: enabled when no pack has ever been enabled or disabled here.

    Attributes:
        first_password: of ``admin``, at the first start only.
    """

    app: Any
    services: Services
    domain: Domain
    log: SegmentLog
    adapters: dict[str, Adapter]
    databases: tuple[Database, ...]
    packs_at_first: tuple[str, ...]
    ticker: Ticker
    first_password: str | None = None
    _token_id: str | None = None
    _undo: list[Callable[[], object]] = field(default_factory=list)

    def start(self) -> None:
        """Start everything; where one part cannot, those that have been started are stopped again."""
        services, domain = self.services, self.domain
        self._undo.append(self._close_stores)
        try:
            self.first_password = services.access.ensure_first_admin()
            self._enable_packs()
            domain.rules.start(self.log.last_sequence())
            services.warnings.catch_up()
            domain.requester.catch_up(domain.rules)
            services.history.start()
            self._undo.append(services.history.close)
            services.context.start()
            self._undo.append(services.context.close)
            domain.intake.start()
            self._undo.append(domain.intake.stop)
            self._undo.append(domain.devices.stop)
            for adapter in self.adapters.values():
                adapter.start()
                self._undo.append(adapter.stop)
            attend(domain.bus, domain.devices, self.adapters)
        except BaseException:
            self.stop()
            raise
        self.ticker.start()
        self._undo.append(self.ticker.stop)

    def stop(self) -> None:
        """Stop taking, finish what was taken, make it durable, close."""
        if self._token_id is not None:
            self.services.access.revoke_token(Principal.system("cli"), self._token_id)
            self._token_id = None
        undo_all(self._undo)

    def local_token(self) -> str:
        """Make the token of this user's command line; it ends with this process."""
        self._token_id, secret = make_local_token(self.services.access)
        return secret

    def mqtt_port(self) -> int | None:
        """Return where MQTT devices connect, or None when this process does not listen for them."""
        return mqtt_port_of(self.adapters)

    def _enable_packs(self) -> None:
        enable_packs(self.services.packs, self.packs_at_first)

    def _close_stores(self) -> None:
        self.domain.rules.close()
        self.domain.requester.close()
        self.domain.bus.close()
        self.log.close()
        self.domain.series.close()
        for database in self.databases:
            database.close()


class Timed(Protocol):
    """What wants to know that time passes."""

    def tick(self, now_us: int) -> object: ...


class Ticker:
    """Lets parts know about once a second what time it is, on a thread of its own.

    A part that raises is logged and counted, and tried again a second later; the others do not notice.

    Args:
        parts: by the name under which they are told of.
    """

    def __init__(self, clock: Clock, parts: Mapping[str, Timed]) -> None:
        self._clock = clock
        self._parts = dict(parts)
        self._states = {name: TimerStatus(name, 0, 0) for name in parts}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing ticks when this returns."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> list[TimerStatus]:
        """Return how each part fares."""
        return list(self._states.values())

    def tick(self) -> None:
        """Let every part know now."""
        now_us = self._clock.now_us()
        for name, part in self._parts.items():
            problem = deliver(f"timer.{name}", part.tick, now_us)
            before = self._states[name]
            failed = problem is not None
            self._states[name] = TimerStatus(name, before.done + (not failed), before.failed + failed, problem)

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            self.tick()


def undo_all(steps: list[Callable[[], object]]) -> None:
    """Take back what was started, the last first; one that fails does not keep the others from it."""
    while steps:
        undo = steps.pop()
        try:
            undo()
        except GulouError:
            _log.exception("a part did not stop cleanly")


def enable_packs(packs: PackService, at_first: Sequence[str]) -> None:
    """Put into force what was in force; at the very first start, what the settings name."""
    packs.start()
    if packs.never_decided():
        for name in at_first:
            packs.enable(name, Principal.system("start"))


def make_local_token(access: AccessService) -> tuple[str, str]:
    """Make the token of this user's command line; those that a killed process left end. Returns its id and secret."""
    principal = Principal.system("cli")
    for left_over in access.tokens.list(500).items:
        if left_over.name == _TOKEN_NAME and left_over.revoked_at_us is None:
            access.revoke_token(principal, left_over.id)
    permissions = [Permission(action) for action in sorted(ACTIONS)]
    token, secret = access.create_token(principal, _TOKEN_NAME, permissions, None)
    return token.id, secret


def mqtt_port_of(adapters: Mapping[str, Adapter]) -> int | None:
    """Return where MQTT devices connect, or None where nobody listens for them."""
    adapter = adapters.get("mqtt")
    address = adapter.health().addresses.get("mqtt") if adapter else None
    return int(address.rpartition(":")[2]) if address else None


def attend(bus: Bus, devices: DeviceRegistry, adapters: Mapping[str, Adapter]) -> None:
    """Let adapters follow what changes: mappings that come and go, devices that may not be connected any more."""

    def refresh_mappings(_changed: RuleSetChanged) -> None:
        for adapter in adapters.values():
            refresh = getattr(adapter, "refresh_mappings", None)
            if refresh is not None:
                refresh()

    def end_connections(changed: DeviceChanged) -> None:
        device = devices.find_device(changed.device_id)
        if changed.change == "created" or (changed.change == "updated" and device is not None and device.enabled):
            return
        for adapter in adapters.values():
            end = getattr(adapter, "end_connections", None)
            if end is not None:
                end(changed.device_id)

    bus.subscribe(RuleSetChanged, refresh_mappings, name="adapters.mappings")
    bus.subscribe(DeviceChanged, end_connections, name="adapters.connections")
