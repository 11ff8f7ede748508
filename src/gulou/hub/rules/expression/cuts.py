"""Where an expression's truth can change: the constants that each property is compared with."""

from __future__ import annotations

from sqlglot import exp

from gulou.hub.rules.expression.model import Cuts

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def find_cuts(tree: exp.Expr) -> Cuts | None:
    """Return property → constants, for AND, OR and NOT of comparisons of one property with a number.

    While each property stays strictly between two neighbours among its constants, the expression's result stays.

    Returns:
        None for any other expression: nothing can be said of it.
    """
    if isinstance(tree, exp.Paren | exp.Not):
        return find_cuts(tree.this)
    if isinstance(tree, exp.And | exp.Or):
        return _together(find_cuts(tree.this), find_cuts(tree.expression))
    if isinstance(tree, exp.Boolean | exp.Null):
        return {}
    if isinstance(tree, exp.Is) and isinstance(tree.expression, exp.Null):
        name = plain_column(tree.this)
        return None if name is None else {name: frozenset()}
    if isinstance(tree, _COMPARISONS):
        return _compared(tree.this, tree.expression) or _compared(tree.expression, tree.this)
    if isinstance(tree, exp.Between):
        return _compared(tree.this, tree.args["low"], tree.args["high"])
    if isinstance(tree, exp.In) and tree.expressions and not tree.args.get("query"):
        return _compared(tree.this, *tree.expressions)
    return None


def plain_column(tree: exp.Expr) -> str | None:
    """Return the name of the property that the expression is, and nothing besides."""
    while isinstance(tree, exp.Paren):
        tree = tree.this
    if isinstance(tree, exp.Column) and tree.args.get("table") is None and tree.name != "this":
        return str(tree.name)
    return None


def _compared(column: exp.Expr, *constants: exp.Expr) -> Cuts | None:
    name = plain_column(column)
    numbers = [_number(constant) for constant in constants]
    if name is None or None in numbers:
        return None
    return {name: frozenset(number for number in numbers if number is not None)}


def _number(tree: exp.Expr) -> float | None:
    while isinstance(tree, exp.Paren):
        tree = tree.this
    if isinstance(tree, exp.Neg):
        inner = _number(tree.this)
        return None if inner is None else -inner
    return float(tree.this) if isinstance(tree, exp.Literal) and not tree.is_string else None


def _together(left: Cuts | None, right: Cuts | None) -> Cuts | None:
    if left is None or right is None:
        return None
    return {name: left.get(name, frozenset()) | right.get(name, frozenset()) for name in {*left, *right}}
