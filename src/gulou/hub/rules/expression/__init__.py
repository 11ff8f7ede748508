"""SQL expressions over an entity's properties, compiled once into closures with SQL's three-valued logic.

``compiler`` is imported when the first is compiled: its parser takes a third of a second, which devices would wait for.
"""

from gulou.hub.rules.expression.functions import AGGREGATES
from gulou.hub.rules.expression.model import Expression, Names
from gulou.hub.rules.expression.scope import MappingScope, Scope

AGGREGATE_NAMES = tuple(AGGREGATES)

__all__ = ["AGGREGATE_NAMES", "Expression", "MappingScope", "Names", "Scope"]
