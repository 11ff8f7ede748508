"""The rule service: fed by the log and the clock, heard on the bus; keeps its states: nothing is lost or told twice."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.intake import Intake, LogBatch, Payload, Reading, Receipt, Submission
from gulou.hub.rules.engine import Engine, Finding, RuleCounters, State
from gulou.hub.rules.engine.judge import Judge
from gulou.hub.rules.events import Detection, RuleSetChanged
from gulou.hub.rules.format import RuleSet
from gulou.hub.rules.format.rule_set import find_derivation_cycle
from gulou.hub.rules.model import Rule
from gulou.hub.rules.ports import DeviceFinder, ReadingHistory, Surroundings
from gulou.hub.rules.settings import RuleSettings
from gulou.hub.rules.store_sql import Kept, RuleStore, TickRecord
from gulou.hub.rules.trial import Trial, run_trial
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Conflict, GulouError, NotFound
from gulou.records import Database

_DAY_US = 86_400 * SECOND_US
_WATCH_EVERY_US = 600 * SECOND_US
_MOST_UNKEPT = 100_000


class RuleView(msgspec.Struct, frozen=True):
    """A rule as it runs.

    Args:
        active: how many detections are raised now.
        watched: how many states it keeps.
        quarantined: why it was put aside, None while it runs.
    """

    rule: Rule
    counters: RuleCounters
    active: int
    watched: int
    quarantined: str | None


class RuleCost(msgspec.Struct, frozen=True):
    """What a rule cost since it was loaded; ``busy_ns`` is time spent judging."""

    rule_id: str
    evaluations: int
    busy_ns: int
    quarantined: bool


class RuleService:
    """Judges every reading; a consumer of the log (``LogConsumer``).

    Order at start: construct, ``load`` every enabled pack, ``start(last sequence of the log)``, then let the log feed
    it; from then on ``tick`` once a second. Ticks do nothing until the log has been replayed up to that sequence.

    Args:
        surroundings: what is known of entities (the context service).
        devices: which device drives an entity (the device registry); None: no commands are proposed.
        intake: where derived readings go; None: derive rules compute in vain.
    """

    name = "rules"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        surroundings: Surroundings,
        *,
        devices: DeviceFinder | None = None,
        intake: Intake | None = None,
        settings: RuleSettings | None = None,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._surroundings = surroundings
        self._devices = devices
        self._intake = intake
        self._settings = settings or RuleSettings()
        self._store = RuleStore(database)
        self._engine = Engine(surroundings, devices)
        self._lock = threading.RLock()
        self._sets: dict[str, RuleSet] = {}
        self._unkept: list[Finding] = []
        self._gone: dict[tuple[str, str], None] = {}
        self._submissions: list[Future[Receipt]] = []
        self._lost_derived = 0
        kept = self._store.kept()
        self._kept_sequence = self._applied = kept.sequence
        self._last_heard_us = kept.now_us
        self._checkpoint_us = clock.now_us()
        self._watched_us = 0
        self._replay_until = 0
        self._engine.restore_clock(kept.now_us, kept.listening_since_us)
        self._ticks = self._store.ticks()
        self._started = False
        self._resumed = False

    # ---- rules

    def load(self, rules: RuleSet) -> None:
        """Put a pack's rules into force, in place of those it had; all at once or not at all.

        Raises:
            Conflict: ``rules.derive_conflict``: together with another pack's rules, derived properties would go round.
        """
        with self._lock:
            together = [rule for pack, one in self._sets.items() if pack != rules.pack for rule in one.rules]
            circle = find_derivation_cycle([*together, *rules.rules])
            if circle is not None:
                raise Conflict("rules.derive_conflict", pack=rules.pack, circle=circle[1])
            self._replace(rules.pack, rules)

    def remove(self, pack: str) -> None:
        """Take a pack's rules out of force; what they had raised is cleared. Unknown packs have nothing to remove."""
        with self._lock:
            self._replace(pack, None)

    def _replace(self, pack: str, rules: RuleSet | None) -> None:
        before = {rule_id: judge for rule_id, judge in self._engine.judges.items() if judge.rule.pack == pack}
        fresh = self._engine.replace(pack, rules.rules if rules is not None else ())
        for rule_id, judge in before.items():
            after = self._engine.judges.get(rule_id)
            if after is None or after.rule.state_version != judge.rule.state_version:
                self._gone.update(dict.fromkeys((rule_id, key) for key in judge.states))
        for judge in fresh:
            if judge.rule.id not in before:
                self._engine.put_back(judge, self._store.states_of(judge.rule.id, judge.rule.state_version))
        if rules is None:
            self._sets.pop(pack, None)
        else:
            self._sets[pack] = rules
        if self._started:
            self._engine.watch_known()
            self._tell()
            if self._settled():
                self._write_checkpoint()
        self._bus.publish(RuleSetChanged(at_us=self._clock.now_us(), pack=pack, rules=len(rules.rules) if rules else 0))

    def start(self, last_sequence: int) -> None:
        """Begin, after the packs are loaded: clear what rules raised that are gone, and expect the log's replay.

        Args:
            last_sequence: of the log; ticks wait until the service has been fed up to it.
        """
        with self._lock:
            self._started = True
            self._replay_until = last_sequence
            versions = {rule_id: judge.rule.state_version for rule_id, judge in self._engine.judges.items()}
            for rule_id, state in self._store.orphans(versions):
                self._gone[rule_id, state.key] = None
                if state.occurrence is not None:
                    self._unkept.append(self._engine.abandon(rule_id, state))
                    self._bus.publish(self._unkept[-1].detection)
            self._engine.watch_known()
            self._run_recorded_ticks()

    # ---- the log

    def position(self) -> int:
        """Return the sequence up to which states are durable."""
        return self._kept_sequence

    def apply(self, batch: LogBatch) -> None:
        """Judge one batch; one that was applied already changes nothing."""
        with self._lock:
            if batch.sequence <= self._applied:
                return
            if self._started and batch.sequence > self._replay_until:
                self._resume_once(batch.received_at_us)
            self._last_heard_us = max(self._last_heard_us, batch.received_at_us)
            self._engine.apply(batch)
            self._applied = batch.sequence
            self._tell(batch.sequence)
            self._run_recorded_ticks()

    def tick(self, now_us: int) -> None:
        """Let time pass: holds end, silences are noticed. Called about once a second."""
        with self._lock:
            if not self._started or self._applied < self._replay_until:
                return
            self._resume_once(now_us)
            if now_us - self._watched_us >= _WATCH_EVERY_US:
                self._watched_us = now_us
                self._engine.watch_known()
            if self._engine.has_due(now_us):
                self._store.add_tick(TickRecord(self._applied, now_us, resumed=False))
                self._engine.advance(now_us)
                self._tell()

    def _resume_once(self, now_us: int) -> None:
        """At the first news after a start, count silence anew if Gulou was stopped for long."""
        if self._resumed:
            return
        if now_us - self._last_heard_us > self._settings.pause_seconds * SECOND_US:
            self._store.add_tick(TickRecord(self._applied, now_us, resumed=True))
            self._engine.resume(now_us)
        self._resumed = True

    def _run_recorded_ticks(self) -> None:
        """Run the timers at the very places in the log at which they ran before a crash."""
        while self._ticks and self._ticks[0].sequence <= self._applied:
            tick = self._ticks.pop(0)
            if tick.resumed:
                self._engine.resume(tick.now_us)
            else:
                self._engine.advance(tick.now_us)
            self._last_heard_us = max(self._last_heard_us, tick.now_us)
            self._tell()

    def _tell(self, sequence: int | None = None) -> None:
        """Publish what was found, send on what was derived."""
        findings, derived = self._engine.take_found()
        self._unkept.extend(findings)
        for finding in findings:
            self._bus.publish(finding.detection)
        if derived and self._intake is not None and sequence is not None:
            self._submit(derived, sequence)

    def _submit(self, derived: list[Reading], sequence: int) -> None:
        """Hand computed readings to the intake; the position makes a repeat after a crash harmless."""
        assert self._intake is not None
        payload = Payload(raw=b"", address="rules", readings=tuple(derived))
        submission = Submission("rules", "rules/1", (payload,), origin="rules:derived", position=sequence)
        try:
            self._submissions.append(self._intake.submit(submission))
        except GulouError:
            self._lost_derived += len(derived)
        self._submissions = [one for one in self._submissions if not one.done()][-10_000:]

    def checkpoint(self) -> None:
        """Make states durable; put off while very many change and the last one is fresh."""
        with self._lock:
            now_us = self._clock.now_us()
            fresh = now_us - self._checkpoint_us < self._settings.checkpoint_seconds * SECOND_US
            if (
                fresh
                and len(self._engine.dirty) > self._settings.checkpoint_states
                and len(self._unkept) < _MOST_UNKEPT
            ):
                return
            if self._ticks or not self._settled():
                return
            self._write_checkpoint()

    def _settled(self) -> bool:
        """Wait for derived readings to be durable: what they follow from will not be judged again."""
        try:
            for one in self._submissions:
                one.exception(timeout=5.0)
        except FutureTimeoutError:
            return False
        self._submissions.clear()
        return True

    def _write_checkpoint(self) -> None:
        if self._ticks:
            return
        engine, now_us = self._engine, self._clock.now_us()
        changed: dict[tuple[str, str], tuple[str, str, str, State | None]] = {}
        for rule_id, key in self._gone:
            changed[rule_id, key] = (rule_id, key, "", None)
        for rule_id, key in engine.dirty:
            judge = engine.judges.get(rule_id)
            state = None if judge is None else judge.states.get(key)
            if judge is not None and state is not None:
                changed[rule_id, key] = (rule_id, key, judge.rule.state_version, state)
        kept = Kept(self._applied, engine.now_us, engine.listening_since_us)
        oldest_us = now_us - round(self._settings.keep_detections_days * _DAY_US)
        self._store.checkpoint(kept, changed.values(), self._unkept, oldest_us)
        engine.dirty.clear()
        self._gone.clear()
        self._unkept.clear()
        self._kept_sequence, self._checkpoint_us = self._applied, now_us

    # ---- looking

    def rules(self, pack: str | None = None, principal: Principal | None = None) -> list[RuleView]:
        """Return the rules that are loaded, disabled ones too, by id."""
        _require(principal, "rule.read")
        with self._lock:
            loaded = [rule for one in self._sets.values() for rule in one.rules if pack in (None, rule.pack)]
            return [self._view(rule) for rule in sorted(loaded, key=lambda rule: rule.id)]

    def get_rule(self, pack: str, name: str, principal: Principal | None = None) -> RuleView:
        """Return one rule.

        Raises:
            NotFound: ``rules.unknown``.
        """
        _require(principal, "rule.read")
        with self._lock:
            return self._view(self._find(f"{pack}/{name}"))

    def _find(self, rule_id: str) -> Rule:
        for one in self._sets.values():
            for rule in one.rules:
                if rule.id == rule_id:
                    return rule
        raise NotFound("rules.unknown", rule=rule_id)

    def _view(self, rule: Rule) -> RuleView:
        judge: Judge | None = self._engine.judges.get(rule.id)
        if judge is None:
            return RuleView(rule, RuleCounters(), 0, 0, None)
        active = sum(1 for state in judge.states.values() if state.occurrence is not None)
        return RuleView(rule, msgspec.structs.replace(judge.counters), active, len(judge.states), judge.quarantined)

    def dearest(self, limit: int) -> list[RuleCost]:
        """Return the rules that took most time since they were loaded, for the operations page."""
        with self._lock:
            judges = list(self._engine.judges.values())
        worst = heapq.nlargest(limit, judges, key=lambda judge: judge.counters.busy_ns)
        return [
            RuleCost(one.rule.id, one.counters.evaluations, one.counters.busy_ns, one.quarantined is not None)
            for one in worst
            if one.counters.evaluations
        ]

    def explain(self, detection_id: str, principal: Principal | None = None) -> list[dict[str, Any]]:
        """Return what each state of an occurrence rests on, oldest first: inputs with times, conditions, levels.

        Raises:
            NotFound: ``rules.detection_unknown``.
        """
        _require(principal, "rule.read")
        with self._lock:
            recent = [one.explanation for one in self._unkept if one.detection.id == detection_id]
        try:
            return [*self._store.explanations(detection_id), *recent]
        except NotFound:
            if recent:
                return recent
            raise

    def detections_since(self, at_us: int, limit: int = 10_000) -> list[Detection]:
        """Return kept detections from ``at_us`` on, for a subscriber that was away. Kept means: at a checkpoint."""
        return self._store.detections_since(at_us, limit)

    def try_rule(
        self,
        rule: Rule | str,
        history: ReadingHistory,
        from_us: int,
        to_us: int,
        principal: Principal | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Trial:
        """Run a rule over what was, in an engine of its own; nothing is raised in earnest, no command is sent.

        Args:
            rule: a parsed rule (``RuleSet.parse``) or the id of a loaded one.
            stop: asked now and then; true ends the trial early.
        """
        _require(principal, "rule.read")
        chosen = self._find(rule) if isinstance(rule, str) else rule
        limits = (self._settings.trial_readings, self._settings.trial_firings)
        return run_trial(chosen, history, self._surroundings, from_us, to_us, limits, stop)

    def status(self) -> dict[str, Any]:
        """Return counters for the operations page."""
        with self._lock:
            judges = list(self._engine.judges.values())
            return {
                "rules": len(judges),
                "quarantined": sorted(judge.rule.id for judge in judges if judge.quarantined is not None),
                "states": sum(len(judge.states) for judge in judges),
                "position": self._applied,
                "kept_position": self._kept_sequence,
                "late": _total(judges, "late"),
                "history": _total(judges, "history"),
                "detections": _total(judges, "detections"),
                "derived_lost": self._lost_derived,
            }


def _total(judges: Iterable[Judge], counter: str) -> int:
    return sum(int(getattr(judge.counters, counter)) for judge in judges)


def _require(principal: Principal | None, action: str) -> None:
    if principal is not None:
        principal.require(action)
