"""What the engine lets the web process ask of it, where a service's own methods would not travel."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.cli.platform import Ticker
from gulou.connectivity.bus import Bus, Message, SubscriberStatus, Subscription, TimerStatus
from gulou.hub.context import ContextService
from gulou.hub.rules import RuleCost, RuleCounters, RuleService
from gulou.sensing.sdk import Adapter, CounterValues, Health

_PAGE = Principal.system("page")


class RunningRule(msgspec.Struct, frozen=True):
    """How a rule fares; what it says is in its pack, which both processes read. See ``RuleView``."""

    id: str
    counters: RuleCounters
    active: int
    watched: int
    quarantined: str | None


class AdapterState(msgspec.Struct, frozen=True):
    """How an adapter fares."""

    name: str
    health: Health
    counters: CounterValues


class EngineFacts(msgspec.Struct, frozen=True):
    """Which engine it is."""

    pid: int
    started_at_us: int


class RuleBoard:
    """The rules as they run."""

    def __init__(self, rules: RuleService) -> None:
        self._rules = rules

    def running(self, rule_ids: list[str]) -> list[RunningRule]:
        """Return those of some rules that are in force."""
        return [
            RunningRule(one.rule.id, one.counters, one.active, one.watched, one.quarantined)
            for one in self._rules.running(rule_ids)
        ]

    def running_one(self, pack: str, name: str) -> RunningRule:
        """Return one. Raises NotFound ``rules.unknown``."""
        one = self._rules.get_rule(pack, name)
        return RunningRule(one.rule.id, one.counters, one.active, one.watched, one.quarantined)

    def explain(self, detection_id: str, principal: Principal | None = None) -> list[dict[str, Any]]:
        """See ``RuleService.explain``."""
        return self._rules.explain(detection_id, principal)

    def keep(self) -> None:
        """Make a checkpoint now: what was found is in the rules' record then. ``RuleService.close`` does just that."""
        self._rules.close()

    def release(self, pack: str, name: str) -> None:
        """See ``RuleService.release``; who asks has been asked already."""
        self._rules.release(pack, name)

    def dearest(self, limit: int) -> list[RuleCost]:
        """See ``RuleService.dearest``."""
        return self._rules.dearest(limit)

    def status(self) -> dict[str, Any]:
        """See ``RuleService.status``."""
        return self._rules.status()


class HearingBus:
    """The engine's bus for its replica of the context: it hears there of devices that get a place, and says nothing.

    What changes in the city is told by the web process, whose context is the one that is asked.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def subscribe(self, kind: type[Message], handler: Callable[[Any], Any], **how: Any) -> Subscription:
        """See ``Bus.subscribe``."""
        return self._bus.subscribe(kind, handler, **how)

    def publish(self, message: Message) -> None:
        """Say nothing."""

    def hears(self, kind: type[Message]) -> bool:
        """Nobody hears what is not said: it need not be gathered."""
        return False

    def drain(self, timeout_s: float = 30.0) -> None:
        """See ``Bus.drain``."""
        self._bus.drain(timeout_s)

    def close(self) -> None:
        """Close nothing: the bus is the engine's."""


class ContextEcho:
    """Takes over into the engine's replica of the context what was written directly in the web process.

    It has been checked, audited and made durable there.
    """

    def __init__(self, replica: ContextService) -> None:
        self._replica = replica

    def upserted(self, document: dict[str, Any]) -> None:
        """An entity was created, or attributes were written over those that it had."""
        self._replica.upsert_entity(document, _PAGE)

    def patched(self, entity_id: str, fragment: dict[str, Any]) -> None:
        """Some attributes were written; of an entity that is not known here (any more), nothing."""
        if self._replica.find_entity(entity_id) is not None:
            self._replica.patch_attributes(entity_id, fragment, _PAGE)

    def deleted(self, entity_id: str) -> None:
        """An entity was deleted."""
        if self._replica.find_entity(entity_id) is not None:
            self._replica.delete_entity(entity_id, _PAGE)


class EngineDesk:
    """The engine itself."""

    def __init__(self, bus: Bus, adapters: Mapping[str, Adapter], ticker: Ticker, started_at_us: int) -> None:
        self._bus = bus
        self._ticker = ticker
        self._adapters = adapters
        self._facts = EngineFacts(os.getpid(), started_at_us)

    def facts(self) -> EngineFacts:
        """Return which engine it is."""
        return self._facts

    def adapters(self) -> list[AdapterState]:
        """Return how every adapter fares."""
        return [AdapterState(name, one.health(), one.counters.values()) for name, one in self._adapters.items()]

    def bus(self) -> list[SubscriberStatus]:
        """Return the counters of the engine's own bus."""
        return self._bus.status() if hasattr(self._bus, "status") else []

    def timers(self) -> list[TimerStatus]:
        """Return how what its parts do by the clock fares."""
        return self._ticker.status()
