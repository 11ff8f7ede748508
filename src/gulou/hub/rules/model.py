"""A rule, read and compiled. Frozen, no I/O; made by ``format``, judged by ``engine``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from gulou.hub.rules.expression import Expression
from gulou.hub.rules.texts import Template

SEVERITIES = ("blue", "yellow", "orange", "red")
"""GB/T 35965 colours, Ⅳ to Ⅰ; a severity inside is an index into this."""
RuleKind = Literal["threshold", "rate", "window", "absence", "geofence", "pattern", "derive"]
KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
GeofenceEvent = Literal["enter", "leave", "inside", "outside"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entities a rule is about.

    Args:
        exact_id: an id without wildcards, so that the rule costs other entities nothing.
        id_pattern: the compiled glob, None for every id.
        where: over the entity's attributes; None for every entity.
    """

    entity_type: str
    exact_id: str | None = None
    id_pattern: re.Pattern[str] | None = None
    where: Expression | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """One switch: goes on when its condition has held for ``hold_us``, off when its way back has for ``clear_hold_us``.

    Args:
        severity: index into ``SEVERITIES``.
        limit: reached by the rule's value; None where ``when`` decides.
        clear_limit: the value must be on the other side of it to clear.
        clear: a condition of its own for the way back; None: ``when`` is false (or the limit less its hysteresis).
    """

    severity: int
    limit: float | None = None
    clear_limit: float | None = None
    when: Expression | None = None
    clear: Expression | None = None
    hold_us: int = 0
    clear_hold_us: int = 0

    def cuts(self, name: str, *, on: bool) -> Iterable[float]:
        """Return the values of the property ``name`` at which its way to the other side can change."""
        if self.limit is not None and self.clear_limit is not None:
            return (self.clear_limit if on else self.limit,)
        deciding = self.clear if on and self.clear is not None else self.when
        return () if deciding is None or deciding.cuts is None else deciding.cuts.get(name, ())


@dataclass(frozen=True)
class Threshold:
    """Levels on a value or on conditions; kinds ``threshold`` and (with ``value`` a rate) ``rate``."""

    value: Expression | None
    levels: tuple[Level, ...]
    below: bool = False
    of: str | None = None
    over_us: int = 0
    per_us: int = 0
    minimum_span_us: int = 0

    @cached_property
    def lone_input(self) -> str | None:
        """The one property that all depends on, where it is only compared with constants."""
        if self.of is not None or (self.value is not None and self.value.plain is None):
            return None
        found = set() if self.value is None else set(self.value.inputs)
        for level in self.levels:
            for one in (level.when, level.clear):
                if one is not None and one.cuts is None:
                    return None
                found |= set() if one is None else one.inputs
        return found.pop() if len(found) == 1 else None

    @cached_property
    def calm(self) -> tuple[str, float, float] | None:
        """A property, and two numbers between which its first value begins nothing; None where that is not so plain."""
        name = self.lone_input
        limits = [level.limit for level in self.levels if level.limit is not None and level.clear_limit is not None]
        if name is None or self.value is None or self.value.plain != name or len(limits) < len(self.levels):
            return None
        return (name, max(limits), math.inf) if self.below else (name, -math.inf, min(limits))


@dataclass(frozen=True)
class Window:
    """Levels on an aggregate of one property's past.

    Args:
        over_us: length of the window; of a session, the longest.
        gap_us: silence that ends a session; 0: the window is no session.
    """

    of: str
    function: str
    over_us: int
    tumbling: bool
    minimum: int
    value: Expression | None
    levels: tuple[Level, ...]
    below: bool = False
    gap_us: int = 0


@dataclass(frozen=True)
class Absence:
    """Levels on silence, µs by severity, rising."""

    property: str | None
    levels: tuple[tuple[int, int], ...]
    expect_known: bool = False


@dataclass(frozen=True)
class Geofence:
    """Where an entity is, against an area.

    Args:
        area: GeoJSON Polygon or MultiPolygon, EPSG:4326; None: the geometry of ``area_entity``.
    """

    event: GeofenceEvent
    severity: int
    property: str
    area: Mapping[str, Any] | None
    area_entity: str | None
    also: Expression | None
    hold_us: int = 0


@dataclass(frozen=True)
class Step:
    """One thing that happens in a pattern."""

    name: str
    select: Selection
    when: Expression


@dataclass(frozen=True)
class Pattern:
    """Several things within a time.

    Args:
        join: attribute by which entities belong together, ``this`` for the same entity, None for the whole city.
        subject: index of the step whose entity the detection is about.
    """

    steps: tuple[Step, ...]
    in_order: bool
    within_us: int
    join: str | None
    subject: int
    severity: int
    clear_after_us: int


@dataclass(frozen=True)
class Derive:
    """A property that is computed from others."""

    property: str
    value: Expression
    decimals: int | None = None
    every_us: int = 0


Condition = Threshold | Window | Absence | Geofence | Pattern | Derive


def expressions_of(condition: Condition) -> tuple[Expression, ...]:
    """Return every expression of a condition."""
    found: list[Expression | None] = []
    if isinstance(condition, Threshold | Window):
        found.append(condition.value)
        for level in condition.levels:
            found += [level.when, level.clear]
    elif isinstance(condition, Geofence):
        found.append(condition.also)
    elif isinstance(condition, Derive):
        found.append(condition.value)
    elif isinstance(condition, Pattern):
        found += [step.when for step in condition.steps]
    return tuple(one for one in found if one is not None)


def tables_used(condition: Condition) -> frozenset[str]:
    """Return the ids of the tables that a condition looks up."""
    return frozenset(table for expression in expressions_of(condition) for table in expression.tables)


@dataclass(frozen=True)
class CommandTemplate:
    """A command that a rule proposes or sends.

    Args:
        target: ``this``, ``type`` (entities whose relationship points here) or ``relation`` (what points from here).
        relation: the relationship's name.
        at: severity from which on it is wanted.
        effect: ``{"property", "value", "tolerance", "within_s"}`` or None.
    """

    target: Literal["this", "type", "relation"]
    target_type: str | None
    relation: str | None
    name: str
    parameters: Mapping[str, Any]
    upon: Literal["raised", "cleared"]
    at: int
    approval: Literal["none", "person"]
    effect: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class IncidentTemplate:
    """When a warning opens an incident by itself, for whom, until when."""

    open: int
    department: str | None = None
    deadline_s: float | None = None


class Rule(msgspec.Struct, frozen=True, eq=False):
    """One rule.

    Args:
        id: ``<pack>/<name>``.
        version: of its whole text; part of every detection.
        state_version: of what it judges by; states survive a change of anything else (texts, commands).
        source: its text as data, in MessagePack.
        file, line: where it is written.
    """

    id: str
    pack: str
    name: str
    kind: str
    version: str
    state_version: str
    label: Mapping[str, str]
    select: Selection
    condition: Condition
    category: str
    headline: Mapping[str, Template]
    description: Mapping[str, Template]
    commands: tuple[CommandTemplate, ...] = ()
    incident: IncidentTemplate | None = None
    department: str | None = None
    enabled: bool = True
    max_age_us: int = 3_600_000_000
    lateness_us: int = 300_000_000
    fresh_us: int | None = None
    expires_us: int | None = None
    source: bytes = b""
    file: str = ""
    line: int = 0

    @property
    def definition(self) -> Mapping[str, Any]:
        """Its text as data."""
        found: dict[str, Any] = msgspec.msgpack.decode(self.source) if self.source else {}
        return found

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Every expression that reads the selected entity's properties."""
        return () if isinstance(self.condition, Pattern) else expressions_of(self.condition)

    @property
    def inputs(self) -> frozenset[str]:
        """Properties of the selected entity that it reads."""
        names = {name for expression in self.expressions for name in expression.inputs}
        condition = self.condition
        if isinstance(condition, Window):
            names.add(condition.of)
        if isinstance(condition, Threshold) and condition.of:
            names.add(condition.of)
        if isinstance(condition, Geofence | Absence) and condition.property:
            names.add(condition.property)
        return frozenset(names)

    @property
    def windows(self) -> dict[str, int]:
        """Property → the longest past that it reads of it, µs."""
        longest: dict[str, int] = {}
        for expression in self.expressions:
            for name, over_us in expression.windows.items():
                longest[name] = max(over_us, longest.get(name, 0))
        condition = self.condition
        if isinstance(condition, Threshold | Window) and condition.of and condition.over_us:
            over_us = condition.over_us + isinstance(condition, Threshold)  # both ends of a rate count
            longest[condition.of] = max(over_us, longest.get(condition.of, 0))
        return longest


@dataclass(frozen=True, slots=True)
class Watched:
    """What the index needs: which readings of which entities meet a rule."""

    select: Selection
    properties: frozenset[str] | None


def watched_by(rule: Rule) -> tuple[Watched, ...]:
    """Return what a rule listens to; ``properties=None`` means any property of the type."""
    condition = rule.condition
    if isinstance(condition, Pattern):
        return tuple(Watched(step.select, step.when.inputs) for step in condition.steps)
    if isinstance(condition, Absence) and condition.property is None:
        return (Watched(rule.select, None),)
    return (Watched(rule.select, rule.inputs),)
