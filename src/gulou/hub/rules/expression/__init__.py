"""SQL expressions over an entity's properties, compiled once into closures with SQL's three-valued logic."""

from gulou.hub.rules.expression.compiler import Expression, Names, compile_expression
from gulou.hub.rules.expression.functions import AGGREGATES
from gulou.hub.rules.expression.scope import MappingScope, Scope

AGGREGATE_NAMES = tuple(AGGREGATES)

__all__ = ["AGGREGATE_NAMES", "Expression", "MappingScope", "Names", "Scope", "compile_expression"]
