"""A rule under test: readings and ticks in, (state, severity, seconds) out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.rules import RuleSet
from gulou.hub.rules.engine import Engine
from gulou.vocabulary import Vocabulary

S = 1_000_000


class City:
    """What is known of entities, in memory."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, str] = {}

    def attributes(self, entity_id: str) -> Mapping[str, Any] | None:
        return self.entities.get(entity_id)

    def entity_ids(self, entity_type: str) -> Iterable[str]:
        return [one for one in self.entities if one.split(":")[2] == entity_type]

    def related_to(self, entity_id: str, entity_type: str, relationship: str) -> Iterable[str]:
        return [one for one in self.entity_ids(entity_type) if self.entities[one].get(relationship) == entity_id]

    def device_of(self, entity_id: str, property: str | None = None) -> str | None:  # noqa: A002
        return self.devices.get(entity_id)


class Bench:
    """One engine with one rule set; times in seconds."""

    def __init__(self, rules: RuleSet, city: City | None = None) -> None:
        self.city = city or City()
        self.engine = Engine(self.city, self.city)
        self.engine.replace(rules.pack, rules.rules)
        self.sequence = 0
        self.found: list[Any] = []
        self.derived: list[Reading] = []

    def send(self, at: float, entity: str, received: float | None = None, **values: Any) -> Bench:
        readings = tuple(
            Reading(entity, entity.split(":")[2], name, value, round(at * S)) for name, value in values.items()
        )
        self.sequence += 1
        self.engine.apply(LogBatch(self.sequence, round((at if received is None else received) * S), "test", readings))
        return self._collect()

    def tick(self, at: float) -> Bench:
        self.engine.advance(round(at * S))
        return self._collect()

    def _collect(self) -> Bench:
        found, derived = self.engine.take_found()
        self.found += [one.detection for one in found]
        self.derived += derived
        return self

    @property
    def told(self) -> list[tuple[str, str, float]]:
        """(state, severity, seconds at which it happened)."""
        return [(one.state, one.severity, one.raised_at_us / S) for one in self.found]

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(one.state, one.severity) for one in self.found]


class Kit:
    """Makes benches from YAML."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.City = City
        self.S = S

    def parse(self, text: str, **files: str) -> RuleSet:
        return RuleSet.parse({"rules/a.yaml": text, **files}, self.vocabulary, pack="test")

    def bench(self, text: str, city: City | None = None) -> Bench:
        return Bench(self.parse(text), city)

    def rule(self, body: str) -> str:
        """Wrap a rule's own keys with the common ones."""
        lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
        return f"rules:\n  - id: r\n    category: flood\n    headline: '{{name}}'\n{lines}\n"


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit(Vocabulary.load())
