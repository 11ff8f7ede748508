"""What the vocabulary lets expressions and texts name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.expression import Names
from gulou.hub.rules.ports import VocabularySource

_TYPE_OF_DATA = {"number": "num", "boolean": "bool", "text": "text", "time": "text", "json": "geo"}
_EVERY_ENTITY = {"id": "text", "name": "text", "description": "text"}
TEXT_WORDS = ("value", "limit", "name", "id", "type", "severity", "duration")


class NameBook:
    """Looks entity types up once and answers what each part of a rule may name."""

    def __init__(self, vocabulary: VocabularySource, tables: Mapping[str, PointTable]) -> None:
        self._types: Mapping[str, Any] = vocabulary.types
        self._kinds: dict[str, dict[str, str]] = {}
        self._names: dict[tuple[str, bool, bool], Names] = {}
        self._attributes: dict[str, Names] = {}
        self._words: dict[str, frozenset[str]] = {}
        self._tables = tables

    def has_type(self, entity_type: str) -> bool:
        return entity_type in self._types

    @property
    def type_names(self) -> list[str]:
        return sorted(self._types)

    def kinds(self, entity_type: str) -> dict[str, str]:
        """Return property → kind (``measured``, ``relation`` …) of a type; empty for an unknown type."""
        kinds = self._kinds.get(entity_type)
        if kinds is None:
            known = self._types.get(entity_type)
            kinds = {} if known is None else {name: str(one.kind) for name, one in known.properties.items()}
            self._kinds[entity_type] = kinds
        return kinds

    def of_type(self, entity_type: str, *, this: bool = False, past: bool = True) -> Names:
        """Return what an expression over readings of a type may name; the same object each time."""
        key = (entity_type, this, past)
        if key not in self._names:
            self._names[key] = self._of_type(entity_type, this, past)
        return self._names[key]

    def _of_type(self, entity_type: str, this: bool, past: bool) -> Names:
        known = self._types.get(entity_type)
        kinds = dict(_EVERY_ENTITY)
        choices: dict[str, tuple[str, ...]] = {}
        for name, one in known.properties.items() if known is not None else ():
            kinds[name] = _TYPE_OF_DATA.get(str(one.data_type), "any")
            values = tuple(str(value) for value in one.values or ())
            if values:
                choices[name] = values
        streams = frozenset(name for name, kind in self.kinds(entity_type).items() if kind == "measured")
        return Names(kinds, choices, self._tables, this, entity_type, streams, past)

    def attributes(self, entity_type: str) -> Names:
        """Return what ``select.where`` may name: attributes, which do not come as a stream of measurements."""
        if entity_type not in self._attributes:
            names = self.of_type(entity_type, past=False)
            kinds = self.kinds(entity_type)
            fixed = {name: kind for name, kind in names.types.items() if kinds.get(name) != "measured"}
            self._attributes[entity_type] = Names(fixed, names.choices, {}, owner=entity_type, past=False)
        return self._attributes[entity_type]

    def words(self, entity_type: str) -> frozenset[str]:
        """Return the words that a text about an entity of the type may hold."""
        if entity_type not in self._words:
            self._words[entity_type] = frozenset({*self.kinds(entity_type), *_EVERY_ENTITY, *TEXT_WORDS})
        return self._words[entity_type]
