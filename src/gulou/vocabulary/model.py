"""What the vocabulary says about types and properties; frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["measured", "state", "relation", "geo", "text", "enum"]
DataType = Literal["number", "boolean", "text", "time", "json"]
Text = Mapping[str, str]
"""One text by language: ``{"en": …, "zh": …}``."""


@dataclass(frozen=True)
class PropertyType:
    """One property of an entity type.

    Args:
        kind: ``measured`` comes from a sensor; ``state`` is set or switched; ``relation`` points to another entity;
            ``geo`` is a GeoJSON geometry; ``text`` describes; ``enum`` is one of ``values``.
        data_type: what a value is; a relation is a ``text`` (a URN), a geometry ``json``.
        unit: UCUM code in which values are kept; None where a unit has no sense.
        minimum, maximum: limits in ``unit``, both included; None where there is no limit.
        decimals: how many a person is shown; None: as it comes.
        values: the list of an ``enum`` or a ``state``: value → text.
        targets: entity types that a relation may point to; empty: any.
        owner: ``gulou`` or the pack that added it.
    """

    name: str
    label: Text
    kind: Kind
    data_type: DataType = "text"
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    values: Mapping[str, Text] = field(default_factory=dict)
    description: Text = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    owner: str = "gulou"


@dataclass(frozen=True)
class EntityType:
    """A kind of thing of the city.

    Args:
        properties: by name, those of its own before those that all types share.
        model: the Smart Data Model that its names follow; None where there is none.
        icon: name of its picture in the console's set.
        main: the property that stands for the entity on the map; None if none does.
        owner: ``gulou`` or the pack that added it.
    """

    name: str
    label: Text
    description: Text
    properties: Mapping[str, PropertyType]
    model: str | None = None
    icon: str | None = None
    main: str | None = None
    owner: str = "gulou"

    def properties_of_kind(self, *kinds: Kind) -> list[PropertyType]:
        """Return the properties of the given kinds, in order."""
        return [item for item in self.properties.values() if item.kind in kinds]
