"""The rule service: fed by the log and the clock, heard on the bus; keeps its states: nothing is lost or told twice."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.intake import Intake, LogBatch, Payload, Reading, Receipt, SeriesCatalogue, Submission
from gulou.hub.rules.aside import judges_again, put_aside
from gulou.hub.rules.engine import Change, Engine, Finding, RuleCounters, Snapshot
from gulou.hub.rules.engine.judge import Judge
from gulou.hub.rules.events import Detection, RuleQuarantined, RuleReleased, RuleSetChanged
from gulou.hub.rules.format import RuleSet
from gulou.hub.rules.format.rule_set import find_derivation_cycle
from gulou.hub.rules.garbage import without_collections
from gulou.hub.rules.model import Rule
from gulou.hub.rules.ports import DeviceFinder, ReadingHistory, Surroundings
from gulou.hub.rules.settings import RuleSettings
from gulou.hub.rules.store_sql import Kept, Page, RuleStore, TickRecord
from gulou.hub.rules.trial import Trial, run_trial
from gulou.hub.rules.views import ALL_RULES, RuleCost, RuleQuery, RuleView, RuleViews, choose_rules
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Conflict, GulouError, NotFound, Unavailable
from gulou.records import Database

_DAY_US = 86_400 * SECOND_US
_WATCH_EVERY_US = 600 * SECOND_US
_MOST_UNKEPT = 100_000
_SLICE_NS = 300_000
"""How long the service's lock is held in one go for what can be done in steps."""
_BREATH_S = 0.000_2
"""Between two such steps, so that who waits for the lock gets it."""
_BLOCKS_A_STEP = 32
_VIEWS_A_STEP = 200
_DONE = object()
_COUNT_AGAIN_S = 5.0
_FEW_RULES = 20_000


class RuleService:
    """Judges every reading; a consumer of the log (``LogConsumer``).

    Order at start: construct, ``load`` every enabled pack, ``start(last sequence of the log)``, or leave that to who
    feeds it (``prepare``), then let the log feed it; from then on ``tick`` once a second. Ticks do nothing until the
    log has been replayed up to that sequence.

    Args:
        surroundings: what is known of entities (the context service).
        devices: which device drives an entity (the device registry); None: no commands are proposed.
        intake: where derived readings go; None: derive rules compute in vain.
        series: the numbers that columns speak of: ``intake.series``. Without it columns must come as readings, and
            all of them are judged.
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
        series: SeriesCatalogue | None = None,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._surroundings = surroundings
        self._devices = devices
        self._intake = intake
        self._settings = settings or RuleSettings()
        self._store = RuleStore(database)
        budget = (self._settings.budget_us, self._settings.budget_readings)
        self._engine = Engine(surroundings, devices, series, budget)
        self.takes_columns = series is not None
        self._lock = threading.RLock()
        self._changing = threading.RLock()
        """Held while rules change; never asked for by who holds the lock that guards judging."""
        self._keeping = threading.Lock()
        """Held while a checkpoint is written."""
        self._sets: dict[str, RuleSet] = {}
        self._unkept: list[Finding] = []
        self._written: list[Finding] = []
        self._gone: list[str] = []
        self._outbox: deque[Message] = deque()
        self._barrier: TickRecord | None = None
        self._submissions: list[Future[Receipt]] = []
        self._lost_derived = 0
        kept = self._store.kept()
        self._kept_sequence = self._applied = kept.sequence
        self._last_heard_us = kept.now_us
        self._checkpoint_us = clock.now_us()
        self._checkpoint_problem: GulouError | None = None
        self._watched_us = 0
        self._replay_until = 0
        self._engine.restore_clock(kept.now_us, kept.listening_since_us)
        self._engine.restore_lanes(self._store.lanes(kept.sequence))
        self._ticks = self._store.ticks()
        self._last_tick = self._ticks[-1].number if self._ticks else 0
        self._aside = self._store.quarantines()
        self._aside_changed: dict[str, tuple[str, str, int] | None] = {}
        self._once_kept: list[Detection] = []
        """What is told of rules put aside: only once it is durable, since a replay might spare them."""
        self._counted: tuple[float, dict[str, Any]] | None = None
        self._started = False
        self._resumed = False

    # ---- rules

    def load(self, rules: RuleSet) -> None:
        """Put a pack's rules into force, in place of those it had: the whole pack, or nothing where it is refused.

        Readings are judged meanwhile: each rule of the pack comes into force by itself, within a moment. When this
        returns, all have, and that is durable.

        Raises:
            Conflict: ``rules.derive_conflict``: together with another pack's rules, derived properties would go round.
        """
        with self._changing:
            sets = [one for pack, one in self._sets.items() if pack != rules.pack]
            together = [rule for one in (*sets, rules) for rule in one.derivations]
            circle = find_derivation_cycle(together)
            if circle is not None:
                raise Conflict("rules.derive_conflict", pack=rules.pack, circle=circle[1])
            self._replace(rules.pack, rules)

    def remove(self, pack: str) -> None:
        """Take a pack's rules out of force; what they had raised is cleared. Unknown packs have nothing to remove."""
        with self._changing:
            self._replace(pack, None)

    def release(self, pack: str, name: str, principal: Principal | None = None) -> None:
        """Let a rule that was put aside judge again; it begins anew, and what it had raised is cleared.

        Raises:
            NotFound: ``rules.unknown``.
            Conflict: ``rules.not_quarantined``.
        """
        _require(principal, "rule.write")
        with self._changing:
            rule_id = f"{pack}/{name}"
            self._find(rule_id)
            judge = self._engine.judges.get(rule_id)
            if judge is None or judge.quarantined is None:
                raise Conflict("rules.not_quarantined", rule=rule_id)
            self._forgive(rule_id)
            self._carry_out(self._engine.plan_anew(judge))
            self._bus.publish(RuleReleased(at_us=self._clock.now_us(), rule_id=rule_id))
            self._keep_now()

    def _replace(self, pack: str, rules: RuleSet | None) -> None:
        with without_collections(freeze=True):
            self._exchange(pack, rules)
        if self._started:
            self._keep_now()
        self._bus.publish(RuleSetChanged(at_us=self._clock.now_us(), pack=pack, rules=len(rules.rules) if rules else 0))

    def _exchange(self, pack: str, rules: RuleSet | None) -> None:
        change = self._engine.plan(pack, rules.rules if rules is not None else ())
        for judge in change.gone:
            self._forgive(judge.rule.id)
        for judge in change.fresh:
            aside = self._aside.get(judge.rule.id)
            if aside is not None and aside[0] == judge.rule.state_version:
                judge.quarantined = aside[1]
        self._carry_out(change)
        if rules is None:
            self._sets.pop(pack, None)
        else:
            self._sets[pack] = rules
        if self._started:
            self._in_slices(self._engine.watch_known())

    def _carry_out(self, change: Change) -> None:
        for start in range(0, len(change.gone), _VIEWS_A_STEP):
            with self._lock:
                self._gone.extend([judge.rule.id for judge in change.gone[start : start + _VIEWS_A_STEP]])
        self._in_slices(self._engine.steps(change))

    def _in_slices(self, steps: Iterator[None]) -> None:
        """Take steps, letting readings be judged between."""
        more = True
        while more:
            with self._lock:
                begun_ns = time.perf_counter_ns()
                while more and time.perf_counter_ns() - begun_ns < _SLICE_NS:
                    more = next(steps, _DONE) is not _DONE
                self._tell()
            if more and self._started:
                time.sleep(_BREATH_S)

    def _put_back(self) -> None:
        """Give the rules the states that were kept of them; clear what was raised by those that are gone."""
        judges, gone = self._engine.judges, dict[str, None]()
        for rule_id, version, states in self._store.states():
            judge = judges.get(rule_id)
            with self._lock:
                if judge is not None and judge.rule.state_version == version:
                    self._engine.put_back(judge, states)
                    continue
                gone[rule_id] = None  # or it judges differently now
                for state in states:
                    if state.occurrence is not None:
                        self._unkept.append(self._engine.abandon(rule_id, state))
                        self._bus.publish(self._unkept[-1].detection)
        self._gone.extend(gone)

    def _is_aside(self, rule_id: str) -> bool:
        judge = self._engine.judges.get(rule_id)
        return judge is not None and judge.quarantined is not None

    def _forgive(self, rule_id: str) -> None:
        with self._lock:
            aside = self._aside.pop(rule_id, None)
            if aside is not None:
                self._aside_changed[rule_id] = None
                self._tell_once_kept(judges_again(rule_id, *aside, self._clock.now_us()))

    def prepare(self, last_sequence: int) -> None:
        """See ``LogConsumer``: ``start``, unless that was done."""
        if not self._started:
            self.start(last_sequence)

    def start(self, last_sequence: int) -> None:
        """Begin, after the packs are loaded: bring their states back, clear what others had raised, expect the replay.

        Args:
            last_sequence: of the log; ticks wait until the service has been fed up to it.
        """
        with self._changing:
            with without_collections(freeze=True):
                self._put_back()
            with self._lock:
                self._started = True
                self._replay_until = last_sequence
                for rule_id in [one for one in self._aside if not self._is_aside(one)]:
                    self._forgive(rule_id)
                self._run_recorded_ticks()
            self._in_slices(self._engine.watch_known())

    # ---- the log and the clock

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

    def described(self, entity_id: str, entity_types: tuple[str, ...]) -> None:
        """Hear that an entity was written directly: which rules select it is found anew at its next reading."""
        with self._lock:
            self._engine.described(entity_id, entity_types)

    def tick(self, now_us: int) -> None:
        """Let time pass: holds end, silences are noticed. Called about once a second, by one thread.

        What falls due is done at once, but told only when the moment has been written down; so is what is found
        meanwhile, to keep the order. Readings are judged while it is being written.
        """
        with self._lock:
            if not self._started or self._applied < self._replay_until:
                return
            self._resume_once(now_us)
            watching = now_us - self._watched_us >= _WATCH_EVERY_US
            record = self._barrier
            if record is None and self._engine.has_due(now_us):
                record = self._barrier = TickRecord(self._applied, now_us, resumed=False)
                self._engine.advance(now_us)
                self._tell()
        if watching:
            self._watched_us = now_us
            self._in_slices(self._engine.watch_known())
        if record is not None:
            number = self._store.add_tick(record)
            with self._lock:
                self._last_tick, self._barrier = number, None
                self._send()

    def _resume_once(self, now_us: int) -> None:
        """At the first news after a start, count silence anew if Gulou was stopped for long."""
        if self._resumed:
            return
        if now_us - self._last_heard_us > self._settings.pause_seconds * SECOND_US:
            self._last_tick = self._store.add_tick(TickRecord(self._applied, now_us, resumed=True))
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
        self._outbox.extend([finding.detection for finding in findings])
        while self._engine.put_aside:
            self._note_quarantine(self._engine.put_aside.pop(0))
        self._send()
        if derived and self._intake is not None and sequence is not None:
            self._submit(derived, sequence)

    def _send(self) -> None:
        """Publish, in order; nothing while a moment that it follows from is being written down."""
        while self._outbox and self._barrier is None:
            self._bus.publish(self._outbox.popleft())

    def _note_quarantine(self, judge: Judge) -> None:
        rule, reason = judge.rule, judge.quarantined or ""
        aside = self._aside[rule.id] = (rule.state_version, reason, self._engine.now_us)
        self._aside_changed[rule.id] = aside
        self._tell_once_kept(put_aside(rule.id, *aside))
        self._outbox.append(RuleQuarantined(at_us=self._engine.now_us, rule_id=rule.id, reason=reason))

    def _tell_once_kept(self, finding: Finding) -> None:
        self._unkept.append(finding)
        self._once_kept.append(finding.detection)

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
        """Begin to make states durable, in a thread of its own; ``position`` advances when that is done.

        Put off while very many states change and the last checkpoint is fresh, or is still being written.

        Raises:
            Unavailable: ``rules.store_failed``: the one before could not be written; the next tries again.
        """
        with self._lock:
            problem, self._checkpoint_problem = self._checkpoint_problem, None
            now_us = self._clock.now_us()
            fresh = now_us - self._checkpoint_us < self._settings.checkpoint_seconds * SECOND_US
            busy = fresh and len(self._engine.dirty) > self._settings.checkpoint_states
            if not (busy and len(self._unkept) < _MOST_UNKEPT) and self._keeping.acquire(blocking=False):
                page, snapshot = self._freeze()
                if page is None or snapshot is None:
                    self._keeping.release()
                else:
                    keep = threading.Thread(
                        target=self._keep, args=(page, snapshot), name="rules:checkpoint", daemon=True
                    )
                    keep.start()
        if problem is not None:
            raise problem

    def wait_kept(self) -> None:
        """Wait until no checkpoint is being written."""
        with self._keeping:
            pass

    def close(self) -> None:
        """Make everything durable that can be; after the log has stopped feeding."""
        self._keep_now()

    def _keep_now(self) -> None:
        """Make a checkpoint on this thread, after one that is being written."""
        self._keeping.acquire()
        with self._lock:
            page, snapshot = self._freeze()
        if page is None or snapshot is None:
            self._keeping.release()
        else:
            self._keep(page, snapshot)

    def _freeze(self) -> tuple[Page, Snapshot] | tuple[None, None]:
        """Say what is to be kept, as it is now; nothing while the log is replayed to where timers ran."""
        if self._ticks or self._barrier is not None:
            return None, None
        engine, now_us = self._engine, self._clock.now_us()
        snapshot = engine.begin_snapshot()
        page = Page(
            kept=Kept(self._applied, snapshot.now_us, snapshot.listening_since_us),
            gone=self._gone,
            rows=snapshot.rows,
            let_go=snapshot.let_go,
            findings=self._unkept,
            quarantines=self._aside_changed,
            forget_before_us=now_us - round(self._settings.keep_detections_days * _DAY_US),
            last_tick=self._last_tick,
        )
        self._written, self._unkept, self._gone, self._aside_changed = self._unkept, [], [], {}
        self._checkpoint_us = now_us
        return page, snapshot

    def _keep(self, page: Page, snapshot: Snapshot) -> None:
        """Write a checkpoint; what cannot be written waits for the next one."""
        submissions, kept = self._submissions[:], False
        waiting = {id(one.detection) for one in page.findings}
        try:
            _wait_for(submissions)
            self._encode(snapshot)
            self._stage(page.kept.sequence, snapshot)
            self._store.checkpoint(page)
            kept = True
        except GulouError as error:
            self._checkpoint_problem = error
        finally:
            with self._lock:
                self._engine.end_snapshot(snapshot, kept=kept)
                self._written = []
                if kept:
                    self._kept_sequence = page.kept.sequence
                    self._outbox.extend([one for one in self._once_kept if id(one) in waiting])
                    self._once_kept = [one for one in self._once_kept if id(one) not in waiting]
                    self._send()
                else:
                    self._unkept[:0] = page.findings
                    self._gone[:0] = page.gone
                    self._aside_changed = {**page.quarantines, **self._aside_changed}
            if kept:
                self._tidy(page.kept.sequence, snapshot)
            self._keeping.release()

    def _encode(self, snapshot: Snapshot) -> None:
        done = 0
        while done < len(snapshot.states):
            with self._lock:
                begun_ns = time.perf_counter_ns()
                while done < len(snapshot.states) and time.perf_counter_ns() - begun_ns < _SLICE_NS:
                    self._engine.encode(snapshot, done, done + 1)
                    done += 1
            time.sleep(_BREATH_S)

    def _stage(self, sequence: int, snapshot: Snapshot) -> None:
        for start in range(0, len(snapshot.blocks), _BLOCKS_A_STEP):
            part = []
            for number in snapshot.blocks[start : start + _BLOCKS_A_STEP]:
                with self._lock:
                    part.append((number, self._engine.lane_block(number)))
            self._store.stage_lanes(sequence, part)

    def _tidy(self, sequence: int, snapshot: Snapshot) -> None:
        with suppress(GulouError):  # old blocks do no harm; they go with the next ones
            self._store.forget_lanes(sequence, snapshot.blocks)

    # ---- looking

    def rules(self, query: RuleQuery = ALL_RULES, principal: Principal | None = None) -> RuleViews:
        """Return rules that are loaded, disabled ones too."""
        _require(principal, "rule.read")
        page, total, following = choose_rules(list(self._sets.values()), query, lambda: list(self._aside))
        views: list[RuleView] = []
        for start in range(0, len(page), _VIEWS_A_STEP):
            with self._lock:
                views += [self._view(rule) for rule in page[start : start + _VIEWS_A_STEP]]
        return RuleViews(views, total, following)

    def running(self, rule_ids: Sequence[str]) -> list[RuleView]:
        """Return those of some rules that are in force."""
        judges = self._engine.judges
        with self._lock:
            return [self._view(judge.rule) for one in rule_ids if (judge := judges.get(one)) is not None]

    def get_rule(self, pack: str, name: str, principal: Principal | None = None) -> RuleView:
        """Return one rule.

        Raises:
            NotFound: ``rules.unknown``.
        """
        _require(principal, "rule.read")
        rule = self._find(f"{pack}/{name}")
        with self._lock:
            return self._view(rule)

    def _find(self, rule_id: str) -> Rule:
        judge = self._engine.judges.get(rule_id)
        if judge is not None:
            return judge.rule
        for one in list(self._sets.values()):  # a disabled one
            for rule in one.rules if rule_id.startswith(f"{one.pack}/") else ():
                if rule.id == rule_id:
                    return rule
        raise NotFound("rules.unknown", rule=rule_id)

    def _view(self, rule: Rule) -> RuleView:
        judge: Judge | None = self._engine.judges.get(rule.id)
        if judge is None:
            return RuleView(rule, RuleCounters(), 0, 0, None)
        counters = msgspec.structs.replace(judge.counters)
        return RuleView(rule, counters, judge.active, self._engine.watched(judge), judge.quarantined)

    def dearest(self, limit: int) -> list[RuleCost]:
        """Return the rules that took most time since they were loaded, for the operations page."""
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
            unkept = [*self._written, *self._unkept]
        recent = [one.explanation for one in unkept if one.detection.id == detection_id]
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
        """Return counters for the operations page; those of very many rules are some seconds old."""
        told = {
            "position": self._applied,
            "kept_position": self._kept_sequence,
            "derived_lost": self._lost_derived,
            "quarantined": sorted(self._aside),
        }
        return {**self._count(), **told}

    def _count(self) -> dict[str, Any]:
        counted = self._counted
        if counted is not None and time.monotonic() < counted[0]:
            return counted[1]
        judges = list(self._engine.judges.values())
        found = {
            "rules": len(judges),
            "states": sum(len(judge.states) for judge in judges),
            **{name: _total(judges, name) for name in ("late", "history", "detections")},
        }
        if len(judges) > _FEW_RULES:
            self._counted = (time.monotonic() + _COUNT_AGAIN_S, found)
        return found


def _wait_for(submissions: Iterable[Future[Receipt]]) -> None:
    """Wait for derived readings to be durable: what they follow from will not be judged again.

    Raises:
        Unavailable: ``rules.store_failed``: they are not, for now.
    """
    try:
        for one in submissions:
            one.exception(timeout=5.0)
    except FutureTimeoutError as error:
        raise Unavailable("rules.store_failed", detail="derived readings") from error


def _total(judges: Iterable[Judge], counter: str) -> int:
    return sum(int(getattr(judge.counters, counter)) for judge in judges)


def _require(principal: Principal | None, action: str) -> None:
    if principal is not None:
        principal.require(action)
