"""The engine's services as the web process sees them: asked over the bridge, and what is shown while it is away."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gulou.access import Principal
from gulou.cli.engine_desk import AdapterState, ContextEcho, EngineDesk, EngineFacts, RuleBoard, RunningRule
from gulou.cli.platform import Ticker
from gulou.connectivity.bridge import BridgeClient
from gulou.connectivity.bus import InProcessBus, SubscriberStatus, TimerStatus
from gulou.connectivity.devices import (
    Binding,
    BulkReport,
    Device,
    DevicePage,
    DeviceQuery,
    DeviceRegistry,
    DeviceReplica,
    KindCount,
)
from gulou.connectivity.intake import (
    Account,
    ColumnSubmission,
    FollowingApplier,
    IntakeService,
    Ledger,
    OriginAccount,
    Payload,
    Receipt,
    SeriesCatalogue,
    Submission,
    reading_at,
)
from gulou.hub.context import ContextService
from gulou.hub.rules import (
    ReadingHistory,
    Rule,
    RuleCost,
    RuleCounters,
    RuleQuery,
    RuleSet,
    RuleSettings,
    RuleView,
    RuleViews,
    Surroundings,
    Trial,
    choose_rules,
    run_trial,
)
from gulou.kernel.errors import Conflict, NotFound, Unavailable
from gulou.packs import PackService, PackStatus
from gulou.sensing.sdk import CounterValues, FoundAdapter, Health

AWAY = "engine.away"
T = TypeVar("T")
_MOST_ECHOES = 100_000
_TRIES = 5
_FACTS_S = 1.0


class IntakeDesk:
    """The engine's intake (``Intake``); its state joined with that of the consumers in this process."""

    def __init__(self, remote: IntakeService, applier: FollowingApplier) -> None:
        self._remote = remote
        self._applier = applier
        self._last: dict[str, Any] = {}
        self.series = SeriesCatalogue()  # numbers of submissions made here; they do not leave this process

    def submit(self, submission: Submission) -> Future[Receipt]:
        """See ``Intake.submit``; also Unavailable ``engine.away``."""
        return self._remote.submit(submission)

    def submit_columns(self, submission: ColumnSubmission) -> Future[Receipt]:
        """See ``Intake.submit_columns``; row by row, because no bulk of numbers comes by the page."""
        columns, series = submission.columns, self.series
        payloads = []
        for row in range(len(columns)):
            raw: Payload = submission.raw_of(row)
            payloads.append(msgspec.structs.replace(raw, readings=(reading_at(columns, row, series),)))
        given = Submission(
            submission.source,
            submission.adapter,
            tuple(payloads),
            submission.mapping,
            submission.origin,
            submission.position,
        )
        return self._remote.submit(given)

    def drop(self, source: str, count: int, reason: str) -> None:
        """See ``Intake.drop``."""
        self._remote.drop(source, count, reason)

    def position_of(self, origin: str) -> int:
        """See ``Intake.position_of``."""
        return self._remote.position_of(origin)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until all that is durable now has been applied in both processes."""
        begun = time.monotonic()
        self._remote.settle(timeout_s)
        self._applier.settle(max(timeout_s - (time.monotonic() - begun), 0.1))

    def status(self) -> dict[str, Any]:
        """Return the state for the operations page; ``state`` is ``away`` while the engine is."""
        own = self._applier.status()
        try:
            told = self._remote.status()
        except Unavailable:
            told = {**self._last, "state": "away", "log": own["log"]}
            for name, unknown in (
                ("disk_full", False),
                ("free_mb", None),
                ("waiting_readings", 0),
                ("max_waiting", 0),
                ("waiting_commits", 0),
                ("waiting_batches", 0),
                ("gap", None),
                ("consumers", []),
            ):
                told.setdefault(name, unknown)
        else:
            self._last = told
        return {
            **told,
            "gap": told["gap"] or own["gap"],
            "consumers": [*told["consumers"], *own["consumers"]],
            "following": {"state": own["state"], "problem": own["problem"], "waiting_batches": own["waiting_batches"]},
        }


class LedgerDesk:
    """The engine's ledger; while it is away, the accounts as they were last seen."""

    def __init__(self, remote: Ledger) -> None:
        self._remote = remote
        self._seen: list[Account] = []

    def accounts(self) -> list[Account]:
        """Return one line per source, by name."""
        try:
            self._seen = self._remote.accounts()
        except Unavailable:
            if not self._seen:
                raise
        return self._seen

    def account(self, source: str) -> Account:
        """Return one source's line."""
        return self._remote.account(source)

    def total(self) -> Account:
        """Return the sum over all sources."""
        return self._remote.total()

    def drops(self) -> dict[str, dict[str, int]]:
        """Return what was dropped."""
        return self._remote.drops()

    def origin(self, origin: str) -> OriginAccount | None:
        """Return how far a resumable sender has come."""
        return self._remote.origin(origin)


class DeviceDesk:
    """The registry: changed in the engine; looked at there too, and in this process's replica while it is away."""

    def __init__(self, remote: DeviceRegistry, replica: DeviceReplica) -> None:
        self._remote = remote
        self._replica = replica

    def create(self, device: Device, principal: Principal) -> Device:
        """See ``DeviceRegistry``; so for all changes."""
        return self._remote.create(device, principal)

    def replace(self, device: Device, principal: Principal) -> Device:
        return self._remote.replace(device, principal)

    def change(
        self, device_id: str, changes: Mapping[str, Any], principal: Principal, version: int | None = None
    ) -> Device:
        """See ``DeviceRegistry.change``; travels as a whole device, whose fields have types."""
        for _ in range(_TRIES):
            before = self._remote.get_device(device_id)
            if version is not None and version != before.version:
                raise Conflict("device.changed", device_id=device_id, version=before.version, read=version)
            try:
                return self._remote.replace(msgspec.structs.replace(before, **changes), principal)
            except Conflict as error:
                if error.code != "device.changed" or version is not None:
                    raise
        raise Conflict("device.changed", device_id=device_id, version=before.version, read=before.version)

    def delete(self, device_id: str, principal: Principal, version: int | None = None) -> None:
        self._remote.delete(device_id, principal, version)

    def set_credentials(self, device_id: str, principal: Principal, secret: str | None = None) -> str | None:
        return self._remote.set_credentials(device_id, principal, secret)

    def revoke_credentials(self, device_id: str, principal: Principal) -> None:
        self._remote.revoke_credentials(device_id, principal)

    def bulk(
        self, data: bytes, form: str, principal: Principal, *, dry_run: bool = False, make_secrets: bool = False
    ) -> BulkReport:
        return self._remote.bulk(data, form, principal, dry_run=dry_run, make_secrets=make_secrets)

    def get_device(self, device_id: str) -> Device:
        """Return a device; raises NotFound ``device.unknown``."""
        return self._asked(lambda: self._remote.get_device(device_id), lambda: self._replica.get_device(device_id))

    def list_devices(self, query: DeviceQuery) -> DevicePage:
        """Return a page."""
        return self._asked(lambda: self._remote.list_devices(query), lambda: self._replica.list_devices(query))

    def summary(self) -> list[KindCount]:
        """Count devices by kind and state."""
        return self._asked(self._remote.summary, self._replica.summary)

    def export_csv(self, departments: Collection[str] | None = None) -> Iterator[str]:
        """Yield the registry as CSV."""
        return self._remote.export_csv(departments)

    def find_device(self, device_id: str) -> Device | None:
        """Return a device from memory, or None; who is online may be a minute old."""
        return self._replica.find_device(device_id)

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        return self._replica.resolve(device_id, channel)

    def children(self, gateway_id: str) -> tuple[str, ...]:
        return self._replica.children(gateway_id)

    @property
    def generation(self) -> int:
        """Grows with every device that is added, changed or removed."""
        return self._replica.generation

    def changed_since(self, generation: int) -> None:
        """Say that all may have changed: nothing here is asked so often that more would pay."""

    @staticmethod
    def _asked(there: Callable[[], T], here: Callable[[], T]) -> T:
        try:
            return there()
        except Unavailable as error:
            if error.code != AWAY:
                raise
            return here()


class RuleDesk:
    """The rules: what they say from the packs, which both processes read; how they fare from the engine.

    A trial runs here, on history and context, and takes nothing of the engine's time.
    """

    def __init__(self, board: RuleBoard, surroundings: Surroundings, settings: RuleSettings) -> None:
        self._board = board
        self._surroundings = surroundings
        self._settings = settings
        self._guard = threading.Lock()
        self._sets: dict[str, RuleSet] = {}

    def load(self, rules: RuleSet) -> None:
        """Know a pack's rules; the engine has judged already whether they go together."""
        with self._guard:
            self._sets[rules.pack] = rules

    def remove(self, pack: str) -> None:
        """Forget a pack's rules."""
        with self._guard:
            self._sets.pop(pack, None)

    def rules(self, query: RuleQuery, principal: Principal | None = None) -> RuleViews:
        """See ``RuleService.rules``; the engine is asked for those of the page alone."""
        _require(principal)
        with self._guard:
            sets = list(self._sets.values())
        page, total, following = choose_rules(sets, query, lambda: self._board.status()["quarantined"])
        running = {one.id: one for one in self._board.running([rule.id for rule in page])}
        return RuleViews([_view(rule, running.get(rule.id)) for rule in page], total, following)

    def get_rule(self, pack: str, name: str, principal: Principal | None = None) -> RuleView:
        """See ``RuleService.get_rule``."""
        _require(principal)
        rule = self._find(f"{pack}/{name}")
        return _view(rule, self._board.running_one(pack, name))

    def try_rule(
        self,
        rule: Rule | str,
        history: ReadingHistory,
        from_us: int,
        to_us: int,
        principal: Principal | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Trial:
        """See ``RuleService.try_rule``."""
        _require(principal)
        chosen = self._find(rule) if isinstance(rule, str) else rule
        limits = (self._settings.trial_readings, self._settings.trial_firings)
        return run_trial(chosen, history, self._surroundings, from_us, to_us, limits, stop)

    def explain(self, detection_id: str, principal: Principal | None = None) -> list[dict[str, Any]]:
        """See ``RuleService.explain``."""
        return self._board.explain(detection_id, principal)

    def release(self, pack: str, name: str, principal: Principal | None = None) -> None:
        """See ``RuleService.release``."""
        if principal is not None:
            principal.require("rule.write")
        self._board.release(pack, name)

    def dearest(self, limit: int) -> list[RuleCost]:
        """See ``RuleService.dearest``."""
        return self._board.dearest(limit)

    def status(self) -> dict[str, Any]:
        """See ``RuleService.status``; while the engine is away, only what is known here."""
        try:
            return self._board.status()
        except Unavailable:
            with self._guard:
                return {"rules": sum(len(one.rules) for one in self._sets.values()), "quarantined": []}

    def _find(self, rule_id: str) -> Rule:
        with self._guard:
            for one in self._sets.values():
                for rule in one.rules:
                    if rule.id == rule_id:
                        return rule
        raise NotFound("rules.unknown", rule=rule_id)


class PackDesk:
    """The packs: put in and out of service in the engine; read, checked and listed here.

    Args:
        own: follows what is in force there.
    """

    def __init__(self, remote: PackService, own: PackService) -> None:
        self._remote = remote
        self._own = own

    def enable(self, name: str, principal: Principal) -> PackStatus:
        """See ``PackService.enable``. Both processes read a large pack at the same time."""
        principal.require("pack.manage")
        reading = threading.Thread(target=self._own.prepare, args=(name,), name="packs:prepare", daemon=True)
        reading.start()
        status = self._remote.enable(name, principal)
        reading.join()
        self._own.follow()
        return status

    def disable(self, name: str, principal: Principal) -> PackStatus:
        """See ``PackService.disable``."""
        status = self._remote.disable(name, principal)
        self._own.follow()
        return status

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class ContextDesk:
    """The context; what is written directly is told to the engine's replica of it before the writer is answered.

    While the engine is away it waits here, in order: an engine that starts anew reads it from the store besides.
    """

    def __init__(self, own: ContextService, echo: ContextEcho) -> None:
        self._own = own
        self._echo = echo
        self._writing = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque(maxlen=_MOST_ECHOES)

    def upsert_entity(self, document: Any, principal: Principal) -> Any:
        """See ``ContextService.upsert_entity``."""
        written = self._own.upsert_entity(document, principal)
        self._tell(lambda: self._echo.upserted(document))
        return written

    def patch_attributes(self, entity_id: str, fragment: Any, principal: Principal) -> Any:
        """See ``ContextService.patch_attributes``."""
        written = self._own.patch_attributes(entity_id, fragment, principal)
        self._tell(lambda: self._echo.patched(entity_id, fragment))
        return written

    def delete_entity(self, entity_id: str, principal: Principal) -> None:
        """See ``ContextService.delete_entity``."""
        self._own.delete_entity(entity_id, principal)
        self._tell(lambda: self._echo.deleted(entity_id))

    def flush(self) -> None:
        """Tell what waits, as far as it goes."""
        with self._writing:
            while self._waiting:
                try:
                    self._waiting[0]()
                except Unavailable:
                    return
                self._waiting.popleft()

    def _tell(self, echo: Callable[[], None]) -> None:
        with self._writing:
            self._waiting.append(echo)
        self.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class AdapterDesk:
    """An adapter that runs in the engine."""

    def __init__(self, found: FoundAdapter, state: AdapterState) -> None:
        self.manifest = found.manifest
        self._state = state
        self.counters = _Counted(state.counters)

    def health(self) -> Health:
        """Return how it fared when it was asked."""
        return self._state.health


class _Counted:
    def __init__(self, values: CounterValues) -> None:
        self._values = values

    def values(self) -> CounterValues:
        return self._values


class EngineView:
    """What the web process knows of the engine: who it is, its adapters, its bus."""

    def __init__(self, client: BridgeClient, found: list[FoundAdapter]) -> None:
        self._client = client
        self._remote = client.remote(EngineDesk, "engine")
        self._found = {one.manifest.name: one for one in found}
        self._facts: EngineFacts | None = None
        self._states: list[AdapterState] = []
        self._states_due = 0.0

    def renew(self) -> None:
        """Ask who it is; after each new connection."""
        self._facts = self._remote.facts()

    def process_ids(self) -> dict[str, int]:
        """Return the engine's process id, if it is there."""
        return {"engine": self._facts.pid} if self._facts is not None and self._client.connected else {}

    def adapters(self) -> dict[str, AdapterDesk]:
        """Return how its adapters fare; asked at most once a second; down while it is away."""
        if time.monotonic() >= self._states_due or not self._client.connected:
            try:
                self._states = self._remote.adapters()
            except Unavailable:
                down = Health("down", AWAY)
                self._states = [msgspec.structs.replace(one, health=down) for one in self._states]
            self._states_due = time.monotonic() + _FACTS_S
        return {one.name: AdapterDesk(self._found[one.name], one) for one in self._states if one.name in self._found}

    def bus(self) -> list[SubscriberStatus]:
        """Return the counters of its bus; none while it is away."""
        try:
            return self._remote.bus()
        except Unavailable:
            return []

    def timers(self) -> list[TimerStatus]:
        """Return how what its parts do by the clock fares; nothing while it is away."""
        try:
            return self._remote.timers()
        except Unavailable:
            return []


class WebTimers:
    """What is done by the clock in both processes."""

    def __init__(self, engine: EngineView, own: Ticker) -> None:
        self._engine = engine
        self._own = own

    def status(self) -> list[TimerStatus]:
        """Return how it fares; of the engine nothing while it is away."""
        theirs = (msgspec.structs.replace(one, part=f"engine.{one.part}") for one in self._engine.timers())
        return [*theirs, *self._own.status()]


class WebBus(InProcessBus):
    """This process's bus; the operations page sees the engine's subscribers beside its own."""

    engine: EngineView | None = None

    def status(self) -> list[SubscriberStatus]:
        """Return the counters of every subscriber of both processes."""
        theirs = self.engine.bus() if self.engine is not None else []
        return [*(msgspec.structs.replace(one, name=f"engine.{one.name}") for one in theirs), *super().status()]


class KeptToken:
    """The token of this user's command line, which outlives a killed web process: a command that runs needs it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return it, or None."""
        try:
            return self._path.read_text(encoding="ascii").strip() or None
        except OSError:
            return None

    def write(self, secret: str) -> None:
        """Keep it, for this user only."""
        self._path.touch(mode=0o600)
        self._path.write_text(secret, encoding="ascii")

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)


def _view(rule: Rule, running: RunningRule | None) -> RuleView:
    if running is None:
        return RuleView(rule, RuleCounters(), 0, 0, None)
    return RuleView(rule, running.counters, running.active, running.watched, running.quarantined)


def _require(principal: Principal | None) -> None:
    if principal is not None:
        principal.require("rule.read")
