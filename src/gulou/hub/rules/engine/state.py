"""What the engine remembers of one rule and one entity; plain data, so that it can be kept and restored.

Nothing in it leads back to itself, so the collector of circular garbage need not look through millions of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import msgspec

MOST_SAMPLES = 20_000


class Input(msgspec.Struct, array_like=True, gc=False):
    """The newest value of a property, and the one before."""

    observed_us: int
    value: Any
    previous: Any = None
    count: int = 0
    """How many readings of its series had come; those since were noted without a judgement."""


class Missed(NamedTuple):
    """What has come of a series without being judged: how many, and the newest two.

    Args:
        readings: how many were missed.
        total: how many have come in all.
        before: the value before the newest; of no meaning where just one was missed.
    """

    readings: int
    total: int
    observed_us: int
    value: float
    before: float

    def as_input(self) -> Input:
        """Return what a state would know that had taken all of it in."""
        return Input(self.observed_us, self.value, self.before if self.total > 1 else None, self.total)


class Samples(msgspec.Struct, array_like=True, gc=False):
    """The past of one property: times (µs, rising) and values."""

    times: list[int] = []
    values: list[float] = []

    def insert(self, at_us: int, value: float) -> bool:
        """Put a reading in its place; one of the same time is corrected. False: the oldest had to go for it."""
        index = bisect_left(self.times, at_us)
        if index < len(self.times) and self.times[index] == at_us:
            self.values[index] = value
            return True
        self.times.insert(index, at_us)
        self.values.insert(index, value)
        if len(self.times) <= MOST_SAMPLES:
            return True
        del self.times[0], self.values[0]
        return False

    def forget_until(self, at_us: int) -> None:
        """Drop what is at or before ``at_us``."""
        index = bisect_right(self.times, at_us)
        if index:
            del self.times[:index], self.values[:index]

    def between(self, after_us: int, until_us: int) -> tuple[list[int], list[float]]:
        """Return the readings in ``(after_us, until_us]``."""
        first, last = bisect_right(self.times, after_us), bisect_right(self.times, until_us)
        return self.times[first:last], self.values[first:last]


class Switch(msgspec.Struct, array_like=True, gc=False):
    """One level: on or off, and since when its way to the other side has been true."""

    on: bool = False
    since_us: int | None = None


class Occurrence(msgspec.Struct, array_like=True, gc=False):
    """A detection that is raised.

    Args:
        peak: the highest severity so far.
        commanded: indexes of the rule's commands that went out already.
        again: how many occurrences of its rule and entity were raised at the same instant before.
        changes: how often it has changed since it was raised.
    """

    id: str
    entity_id: str
    raised_at_us: int
    severity: int
    peak: int
    commanded: list[int] = []
    again: int = 0
    changes: int = 0


class Match(msgspec.Struct, array_like=True, gc=False):
    """A step of a pattern that happened."""

    at_us: int
    entity_id: str
    values: dict[str, Any] = {}


class State(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one rule and one entity (or one group of a pattern). New fields go behind the others.

    Args:
        newest_us: time of the newest reading taken in.
        armed: a geofence has seen the other side.
        bucket_us: start of the oldest open whole window.
        matches: by step of a pattern.
        complete_us: when a pattern was last complete.
        scheduled_us: when the engine will look at the state again; not kept.
        timer: number of the timer that will have the engine look; not kept.
        epoch: between which two checkpoints it changed last; not kept.
        kept: a checkpoint has it, or may have; not kept itself.
        ended: the occurrence that was raised and cleared last, if both were at the same instant.
        heard: of an absence: property → how many readings had come when the newest was judged.
    """

    key: str
    inputs: dict[str, Input] = {}
    samples: dict[str, Samples] = {}
    newest_us: int = 0
    switches: list[Switch] = []
    occurrence: Occurrence | None = None
    inside: bool | None = None
    armed: bool = False
    bucket_us: int | None = None
    derived_us: int | None = None
    derived: float | None = None
    matches: list[list[Match]] = []
    complete_us: int | None = None
    scheduled_us: int | None = None
    heard: dict[str, int] | None = None
    timer: int | None = None
    epoch: int = 0
    kept: bool = False
    ended: Occurrence | None = None


class RuleCounters(msgspec.Struct):
    """What a rule cost and met; since the start of the process."""

    taken: int = 0
    late: int = 0
    history: int = 0
    overflowed: int = 0
    evaluations: int = 0
    failures: int = 0
    detections: int = 0
    busy_ns: int = 0
