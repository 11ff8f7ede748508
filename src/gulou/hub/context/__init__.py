"""What is true now: entities after NGSI-LD's information model, by id, type, value and place."""

from gulou.hub.context.events import EntitiesChanged, EntityChange
from gulou.hub.context.filter import Filter, parse_filter
from gulou.hub.context.interests import Interest
from gulou.hub.context.model import (
    KINDS,
    Attribute,
    Entity,
    EntityCells,
    EntityPage,
    EntityQuery,
    Place,
)
from gulou.hub.context.ngsi_ld import from_normalized, to_key_values, to_normalized
from gulou.hub.context.ports import ContextStore
from gulou.hub.context.service import ContextService
from gulou.hub.context.settings import ContextSettings
from gulou.hub.context.store_memory import MemoryContextStore
from gulou.hub.context.store_sql import SqlContextStore

__all__ = [
    "KINDS",
    "Attribute",
    "ContextService",
    "ContextSettings",
    "ContextStore",
    "EntitiesChanged",
    "Entity",
    "EntityCells",
    "EntityChange",
    "EntityPage",
    "EntityQuery",
    "Filter",
    "Interest",
    "MemoryContextStore",
    "Place",
    "SqlContextStore",
    "from_normalized",
    "parse_filter",
    "to_key_values",
    "to_normalized",
]
