"""Trying a rule on history before it goes live."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from gulou.connectivity.intake import LogBatch
from gulou.hub.rules.engine import Engine
from gulou.hub.rules.events import Detection
from gulou.hub.rules.model import Rule, watched_by
from gulou.hub.rules.ports import ReadingHistory, Surroundings
from gulou.kernel.errors import Invalid

_LOOK_EVERY = 1_000


@dataclass
class Trial:
    """The outcome of a trial.

    Args:
        firings: in the order of their times.
        readings: how many were replayed.
        truncated: a limit ended it before ``to``.
    """

    firings: list[Detection] = field(default_factory=list)
    readings: int = 0
    truncated: bool = False


def run_trial(
    rule: Rule,
    history: ReadingHistory,
    surroundings: Surroundings,
    from_us: int,
    to_us: int,
    limits: tuple[int, int],
    stop: Callable[[], bool],
) -> Trial:
    """Replay history through one rule on a virtual clock: each reading counts as received when it was observed.

    Args:
        limits: most readings, most firings.

    Raises:
        Invalid: ``rules.trial_range``.
    """
    if from_us >= to_us:
        raise Invalid("rules.trial_range")
    engine = Engine(surroundings)
    engine.resume(from_us)
    engine.replace(rule.pack, [_enabled(rule)])
    for _ in engine.watch_known():
        pass
    trial = Trial()
    streams = [
        history.readings(
            watched.select.entity_type, _sorted(watched.properties), from_us, to_us, watched.select.exact_id
        )
        for watched in watched_by(rule)
    ]
    merged = heapq.merge(*streams, key=lambda reading: reading.observed_at_us)
    for reading in merged:
        if trial.readings >= limits[0] or len(trial.firings) >= limits[1] or _stopped(trial, stop):
            trial.truncated = True
            return trial
        trial.readings += 1
        engine.apply(LogBatch(trial.readings, reading.observed_at_us, "trial", (reading,)))
        trial.firings.extend(finding.detection for finding in engine.take_found()[0])
    engine.advance(to_us)
    trial.firings.extend(finding.detection for finding in engine.take_found()[0])
    return trial


def _stopped(trial: Trial, stop: Callable[[], bool]) -> bool:
    return trial.readings % _LOOK_EVERY == 0 and stop()


def _enabled(rule: Rule) -> Rule:
    return msgspec.structs.replace(rule, enabled=True)


def _sorted(properties: frozenset[str] | None) -> tuple[str, ...] | None:
    return None if properties is None else tuple(sorted(properties))
