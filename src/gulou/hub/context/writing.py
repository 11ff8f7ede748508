"""How an attribute is written over another: by a reading of the log, or directly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gulou.connectivity.intake import Reading
from gulou.hub.context.model import Attribute
from gulou.hub.context.ports import VocabularySource
from gulou.kernel.errors import Invalid

_KINDS = {"geo": "GeoProperty", "relation": "Relationship"}
_WRITTEN_AS = {"geo": {"GeoProperty"}, "relation": {"Relationship", "ListRelationship"}}


class Definitions:
    """What the vocabulary says of a type's property, looked up once; follows a vocabulary that changes."""

    def __init__(self, vocabulary: VocabularySource | None) -> None:
        self._vocabulary = vocabulary
        self._seen: Mapping[str, Any] | None = None
        self._known: dict[tuple[str, str], tuple[str, str | None]] = {}

    def refresh(self) -> bool:
        """Forget what was looked up if the vocabulary has changed since; say whether it has."""
        if self._vocabulary is None or self._vocabulary.types is self._seen:
            return False
        self._seen = self._vocabulary.types
        self._known = {}
        return True

    def kind_and_unit(self, entity_type: str, name: str) -> tuple[str, str | None]:
        """Return the NGSI-LD kind and the unit of a property; ``Property`` without unit for an unknown one."""
        key = entity_type, name
        found = self._known.get(key)
        if found is None:
            item = self._find(entity_type, name)
            found = ("Property", None) if item is None else (_KINDS.get(item.kind, "Property"), item.unit)
            self._known[key] = found
        return found

    def checked(self, types: tuple[str, ...], name: str, attribute: Attribute) -> Attribute:
        """Return a directly written attribute as the vocabulary wants it; unknown types and properties pass.

        Raises:
            Invalid: ``entity.kind_wrong``, ``reading.…``.
        """
        for entity_type in types:
            item = self._find(entity_type, name)
            if item is None or self._vocabulary is None:
                continue
            allowed = _WRITTEN_AS.get(item.kind)
            if allowed is not None and attribute.kind not in allowed:
                raise Invalid("entity.kind_wrong", property=name, kind=attribute.kind, expected=min(allowed))
            if attribute.kind != "Property":
                return attribute
            wrapped = isinstance(attribute.value, dict) and "@value" in attribute.value
            value = attribute.value["@value"] if wrapped else attribute.value
            checked = self._vocabulary.check(entity_type, name, value, attribute.unit_code)
            unit = item.unit if item.data_type == "number" else attribute.unit_code
            return replace(attribute, value=attribute.value if wrapped else checked, unit_code=unit)
        return attribute

    def _find(self, entity_type: str, name: str) -> Any:
        definition = None if self._vocabulary is None else self._vocabulary.types.get(entity_type)
        return None if definition is None else definition.properties.get(name)


def with_reading(
    instances: tuple[Attribute, ...], reading: Reading, kind: str, unit: str | None, stamp: int, received_at_us: int
) -> tuple[Attribute, ...] | None:
    """Return an attribute's instances after a reading; None when the reading is older than what is there.

    Newest is by ``observed_at``; of two readings of one time the one later in the log counts. What was written
    directly without a time gives way to any later reading.
    """
    present: Attribute | None = None
    for attribute in instances:
        if attribute.dataset_id == reading.dataset_id:
            present = attribute
            break
    if present is not None:
        if stamp < present.stamp:
            return None
        if present.observed_at_us is not None and reading.observed_at_us < present.observed_at_us:
            return None
    new = Attribute(
        reading.kind if reading.kind != "Property" else kind,
        reading.value,
        reading.observed_at_us,
        reading.unit_code or unit,
        reading.dataset_id,
        {} if present is None else present.sub,
        received_at_us if present is None else max(received_at_us, present.modified_at_us),
        stamp,
    )
    if present is None:
        return in_order((*instances, new)) if instances else (new,)
    if len(instances) == 1:
        return (new,)
    return tuple(new if attribute is present else attribute for attribute in instances)


def written_over(instances: tuple[Attribute, ...], new: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    """Return an attribute's instances after a direct write, which replaces the instances that it names."""
    named = {attribute.dataset_id for attribute in new}
    return in_order((*(one for one in instances if one.dataset_id not in named), *new))


def in_order(instances: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    """Return the default instance first, the others by datasetId."""
    return tuple(sorted(instances, key=lambda one: (one.dataset_id is not None, one.dataset_id or "")))
