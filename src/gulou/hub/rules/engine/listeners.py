"""The index: a reading meets only the rules of its own series, whatever the number of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.judge import Judge
from gulou.hub.rules.expression import MappingScope
from gulou.hub.rules.model import Selection, watched_by
from gulou.hub.rules.ports import Surroundings

_LOOK_AGAIN_US = 60_000_000
_LOOK_SOON_US = 5_000_000  # an entity is often described only after its first reading
_MOST_SERIES = 1_000_000


class Listener:
    """One rule (or one step of a pattern) that listens to some series."""

    __slots__ = ("_seen", "judge", "properties", "select", "step")

    def __init__(self, judge: Judge, step: int, select: Selection, properties: frozenset[str] | None) -> None:
        self.judge = judge
        self.step = step
        self.select = select
        self.properties = properties
        self._seen: dict[str, tuple[bool, int]] = {}

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
        if where is None:
            return True
        seen = self._seen.get(entity_id)
        if seen is not None and now_us - seen[1] < (_LOOK_AGAIN_US if seen[0] else _LOOK_SOON_US):
            return seen[0]
        attributes = surroundings.attributes(entity_id)
        truth = attributes is not None and where.evaluate(MappingScope({"id": entity_id, **attributes})) is True
        self._seen[entity_id] = (truth, now_us)
        return truth


class Index:
    """Finds the listeners of a reading."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._by_id: dict[str, list[Listener]] = {}
        self._by_type: dict[str, list[Listener]] = {}
        self._by_rule: dict[str, list[Listener]] = {}
        self._of_series: dict[tuple[str, str], tuple[tuple[Listener, ...], bool]] = {}

    def rebuild(self, judges: Iterable[Judge]) -> None:
        """Index all rules anew."""
        self._by_id, self._by_type, self._by_rule, self._of_series = {}, {}, {}, {}
        for judge in judges:
            for step, watched in enumerate(watched_by(judge.rule)):
                listener = Listener(judge, step, watched.select, watched.properties)
                self._by_rule.setdefault(judge.rule.id, []).append(listener)
                if watched.select.exact_id is not None:
                    self._by_id.setdefault(watched.select.exact_id, []).append(listener)
                else:
                    self._by_type.setdefault(watched.select.entity_type, []).append(listener)

    def meeting(self, reading: Reading, now_us: int) -> Sequence[Listener]:
        """Return the listeners of a reading."""
        series = (reading.entity_id, reading.property)
        known = self._of_series.get(series)
        if known is None:
            found = self._find(reading)
            if len(self._of_series) >= _MOST_SERIES:
                self._of_series.clear()
            known = self._of_series[series] = (found, any(one.select.where is not None for one in found))
        found, choosy = known
        if not choosy:
            return found
        return [one for one in found if one.holds(reading.entity_id, now_us, self._surroundings)]

    def _find(self, reading: Reading) -> tuple[Listener, ...]:
        candidates = [*self._by_id.get(reading.entity_id, ()), *self._by_type.get(reading.entity_type, ())]
        return tuple(one for one in candidates if one.hears(reading.entity_id, reading.entity_type, reading.property))

    def selects(self, judge: Judge, entity_id: str, now_us: int) -> bool:
        """Say whether a rule is about an entity."""
        listeners = self._by_rule.get(judge.rule.id, ())
        return any(one.names(entity_id) and one.holds(entity_id, now_us, self._surroundings) for one in listeners)
