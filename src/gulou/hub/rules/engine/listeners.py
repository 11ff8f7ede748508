"""The index: a reading meets only the rules of its own series, whatever the number of rules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from zlib import crc32

from gulou.hub.rules.engine.guards import NEVER
from gulou.hub.rules.engine.judge import Band, Judge
from gulou.hub.rules.engine.shards import Shards
from gulou.hub.rules.expression import MappingScope
from gulou.hub.rules.model import Pattern, Selection, watched_by
from gulou.hub.rules.ports import Surroundings

_LOOK_AGAIN_US = 600_000_000  # changes are told (``Index.described``); this is for what nobody tells
_LOOK_SOON_US = 5_000_000  # where no series can be named to look at again: an entity is often described late
_SPREAD = 0x3FF
_MOST_SERIES = 50_000
_ANYTHING = (-math.inf, math.inf, NEVER)


class Listener:
    """One rule (or one step of a pattern) that listens to some series."""

    __slots__ = ("_seen", "judge", "prefix", "properties", "select")

    def __init__(self, judge: Judge, prefix: str, select: Selection, properties: frozenset[str] | None) -> None:
        self.judge = judge
        self.prefix = prefix
        """Stands before an entity's id in the key of its state."""
        self.select = select
        self.properties = properties
        self._seen: dict[str, tuple[bool, int]] | None = None if select.where is None else {}

    def hears(self, entity_id: str, entity_type: str, name: str) -> bool:
        """Say whether a series can concern the rule, attributes aside."""
        select = self.select
        if entity_type != select.entity_type or (self.properties is not None and name not in self.properties):
            return False
        return self.names(entity_id)

    def names(self, entity_id: str) -> bool:
        select = self.select
        if select.exact_id is not None:
            return entity_id == select.exact_id
        return select.id_pattern is None or select.id_pattern.match(entity_id) is not None

    def holds(self, entity_id: str, now_us: int, surroundings: Surroundings) -> bool:
        """Say whether ``where`` is true of the entity; looked up again now and then."""
        where = self.select.where
        if where is None or self._seen is None:
            return True
        seen = self._seen.get(entity_id)
        if seen is not None and now_us < self._look_again_us(entity_id, seen):
            return seen[0]
        attributes = surroundings.attributes(entity_id)
        truth = attributes is not None and where.evaluate(MappingScope({"id": entity_id, **attributes})) is True
        self._seen[entity_id] = (truth, now_us)
        return truth

    def _look_again_us(self, entity_id: str, seen: tuple[bool, int]) -> int:
        """Return when ``where`` is to be looked up again; not all entities in the same moment."""
        wait_us = _LOOK_SOON_US if self.properties is None and not seen[0] else _LOOK_AGAIN_US
        return seen[1] + wait_us + wait_us * (crc32(entity_id.encode()) & _SPREAD) // _SPREAD

    def forget(self, entity_id: str) -> bool:
        """Look ``where`` up anew at the entity's next reading; return whether it had been looked up."""
        return self._seen is not None and self._seen.pop(entity_id, None) is not None

    def held(self, entity_id: str) -> bool:
        """Say whether ``where`` was true when it was last looked up; also where it never was."""
        seen = None if self._seen is None else self._seen.get(entity_id)
        return seen is None or seen[0]

    def is_calm(self, entity_id: str, value: float) -> bool:
        """Say whether a reading that is newer than all before changes nothing, and no state has to take it in."""
        judge = self.judge
        calm = judge.calm
        return calm is not None and calm[1] < value < calm[2] and entity_id not in judge.states

    def tolerance(self, entity_id: str, name: str) -> Band | None:
        """Return what the rule tolerates of a series, as ``Judge.tolerance``."""
        judge, until_us = self.judge, NEVER
        if judge.quarantined is not None:
            return _ANYTHING
        state = judge.states.get(self.prefix + entity_id)
        if state is None and judge.calm is not None:
            return judge.calm[1], judge.calm[2], NEVER
        if self._seen is not None:
            seen = self._seen.get(entity_id)
            if seen is None or (state is not None and not seen[0]):
                return None
            until_us = self._look_again_us(entity_id, seen)
            if not seen[0]:
                return -math.inf, math.inf, until_us
        band = None if state is None else judge.tolerance(state, name)
        return None if band is None else (band[0], band[1], min(band[2], until_us))


class Index:
    """Finds the listeners of a reading."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._by_id: Shards[tuple[Listener, ...]] = Shards()
        self._by_type: dict[tuple[str, str | None], dict[Listener, None]] = {}
        self._of_series: dict[tuple[str, str], tuple[Listener, ...]] = {}
        self._asking: dict[str, dict[Listener, None]] = {}
        self._asked: dict[tuple[str, str], int] = {}

    def add(self, judge: Judge) -> None:
        """Let a rule listen."""
        patterned = isinstance(judge.rule.condition, Pattern)
        made = []
        for step, watched in enumerate(watched_by(judge.rule)):
            listener = Listener(judge, f"{step}|" if patterned else "", watched.select, watched.properties)
            made.append(listener)
            self._note_question(listener, 1)
            if watched.select.exact_id is not None:
                self._by_id[watched.select.exact_id] = (*self._by_id.get(watched.select.exact_id, ()), listener)
            else:
                for name in watched.properties if watched.properties is not None else (None,):
                    self._by_type.setdefault((watched.select.entity_type, name), {})[listener] = None
        judge.listeners = tuple(made)
        self._of_series.clear()

    def remove(self, judge: Judge) -> None:
        """Let a rule listen no more."""
        for listener in judge.listeners:
            self._note_question(listener, -1)
            name = listener.select.exact_id
            if name is not None:
                rest = tuple([one for one in self._by_id.get(name, ()) if one is not listener])
                if rest:
                    self._by_id[name] = rest
                else:
                    self._by_id.pop(name, None)
            else:
                for one in listener.properties if listener.properties is not None else (None,):
                    self._by_type[listener.select.entity_type, one].pop(listener, None)
        judge.listeners = ()
        self._of_series.clear()

    def _note_question(self, listener: Listener, change: int) -> None:
        where, entity_type = listener.select.where, listener.select.entity_type
        if where is None:
            return
        if change > 0:
            self._asking.setdefault(entity_type, {})[listener] = None
        else:
            self._asking[entity_type].pop(listener, None)
        for name in where.inputs:
            key = (entity_type, name)
            self._asked[key] = self._asked.get(key, 0) + change
            if not self._asked[key]:
                del self._asked[key]

    def asks(self, entity_type: str, name: str) -> bool:
        """Say whether some rule selects entities by this attribute."""
        return (entity_type, name) in self._asked

    def described(self, entity_id: str, entity_types: Iterable[str]) -> set[str]:
        """Look an entity's attributes up anew; return the properties of the series that must be judged for it."""
        names: set[str] = set()
        for entity_type in entity_types:
            for listener in self._asking.get(entity_type, ()):
                if listener.forget(entity_id):
                    names |= listener.properties or frozenset()
        return names

    def meeting(self, entity_id: str, entity_type: str, name: str) -> tuple[Listener, ...]:
        """Return the listeners of a series that has no number, attributes aside."""
        series = (entity_id, name)
        known = self._of_series.get(series)
        if known is None:
            if len(self._of_series) >= _MOST_SERIES:
                self._of_series.clear()
            known = self._of_series[series] = self.find(entity_id, entity_type, name)
        return known

    def find(self, entity_id: str, entity_type: str, name: str) -> tuple[Listener, ...]:
        """Return the listeners of a series, attributes aside."""
        found = [one for one in self._by_id.get(entity_id, ()) if one.hears(entity_id, entity_type, name)]
        for key in ((entity_type, name), (entity_type, None)):
            found += [one for one in self._by_type.get(key, ()) if one.names(entity_id)]
        return tuple(found)

    def selects(self, judge: Judge, entity_id: str, now_us: int) -> bool:
        """Say whether a rule is about an entity."""
        return any(one.names(entity_id) and one.holds(entity_id, now_us, self._surroundings) for one in judge.listeners)
