"""The built platform's life: start in order, tick, stop in the opposite order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gulou.access import ACTIONS, Permission, Principal
from gulou.connectivity.devices import DeviceChanged
from gulou.hub.rules import RuleSetChanged
from gulou.kernel.errors import GulouError

if TYPE_CHECKING:
    from gulou.api import Services
    from gulou.cli.domain import Domain
    from gulou.connectivity.intake import SegmentLog
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
    first_password: str | None = None
    _token_id: str | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _ticker: threading.Thread | None = None
    _undo: list[Callable[[], object]] = field(default_factory=list)

    def start(self) -> None:
        """Start everything; where one part cannot, those that have been started are stopped again."""
        services, domain = self.services, self.domain
        self._undo.append(self._close_stores)
        try:
            self.first_password = services.access.ensure_first_admin()
            self._enable_packs()
            domain.rules.start(self.log.last_sequence())
            services.warnings.catch_up(domain.rules)
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
            domain.bus.subscribe(RuleSetChanged, self._refresh_mappings, name="adapters.mappings")
            domain.bus.subscribe(DeviceChanged, self._end_connections, name="adapters.connections")
        except BaseException:
            self.stop()
            raise
        self._ticker = threading.Thread(target=self._tick_on, name="ticker", daemon=True)
        self._ticker.start()

    def stop(self) -> None:
        """Stop taking, finish what was taken, make it durable, close."""
        self._stopped.set()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None
        if self._token_id is not None:
            self.services.access.revoke_token(Principal.system("cli"), self._token_id)
            self._token_id = None
        while self._undo:
            undo = self._undo.pop()
            try:
                undo()
            except GulouError:
                _log.exception("a part did not stop cleanly")

    def local_token(self) -> str:
        """Make the token of this user's command line; it ends with this process."""
        access, principal = self.services.access, Principal.system("cli")
        for left_over in access.tokens.list(500).items:
            if left_over.name == _TOKEN_NAME and left_over.revoked_at_us is None:
                access.revoke_token(principal, left_over.id)
        permissions = [Permission(action) for action in sorted(ACTIONS)]
        token, secret = access.create_token(principal, _TOKEN_NAME, permissions, None)
        self._token_id = token.id
        return secret

    def mqtt_port(self) -> int | None:
        """Return where MQTT devices connect, or None when this process does not listen for them."""
        adapter = self.adapters.get("mqtt")
        address = adapter.health().addresses.get("mqtt") if adapter else None
        return int(address.rpartition(":")[2]) if address else None

    def _enable_packs(self) -> None:
        packs = self.services.packs
        packs.start()
        if packs.never_decided():
            for name in self.packs_at_first:
                packs.enable(name, Principal.system("start"))

    def _refresh_mappings(self, _changed: RuleSetChanged) -> None:
        """A pack came or went, and with it mappings: brokers are subscribed to anew."""
        for adapter in self.adapters.values():
            refresh = getattr(adapter, "refresh_mappings", None)
            if refresh is not None:
                refresh()

    def _end_connections(self, changed: DeviceChanged) -> None:
        """A device was removed, disabled, or has another secret or none: what it has open ends."""
        device = self.domain.devices.find_device(changed.device_id)
        if changed.change == "created" or (changed.change == "updated" and device is not None and device.enabled):
            return
        for adapter in self.adapters.values():
            end = getattr(adapter, "end_connections", None)
            if end is not None:
                end(changed.device_id)

    def _tick_on(self) -> None:
        services, domain = self.services, self.domain
        parts = (domain.devices, domain.commands, domain.rules, services.warnings, services.incidents, domain.intake)
        while not self._stopped.wait(_TICK_S):
            now_us = services.clock.now_us()
            for part in parts:
                try:
                    part.tick(now_us)
                except GulouError:
                    _log.exception("a timer of %s failed; it is tried again", type(part).__name__)

    def _close_stores(self) -> None:
        self.domain.requester.close()
        self.domain.bus.close()
        self.log.close()
        self.domain.series.close()
        for database in self.databases:
            database.close()
