"""From SQL text to a closure: sqlglot parses, an allow-list of nodes is compiled, everything else is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from gulou.hub.rules.durations import read_duration_us
from gulou.hub.rules.expression import functions, logic
from gulou.hub.rules.expression.cuts import find_cuts, plain_column
from gulou.hub.rules.expression.model import Evaluate, Expression, Names
from gulou.hub.rules.expression.scope import Scope
from gulou.kernel.documents import nearest
from gulou.kernel.errors import Invalid

_LONGEST = 2_000
_DEEPEST = 40
_MOST_NODES = 500

_SCALAR_NODES: dict[type[exp.Expr], str] = {
    exp.Abs: "ABS",
    exp.Round: "ROUND",
    exp.Floor: "FLOOR",
    exp.Ceil: "CEIL",
    exp.Sqrt: "SQRT",
    exp.Ln: "LN",
    exp.Exp: "EXP",
    exp.Pow: "POWER",
    exp.Lower: "LOWER",
    exp.Upper: "UPPER",
    exp.Length: "LENGTH",
}
_SEVERAL: dict[type[exp.Expr], Callable[..., Any]] = {
    exp.Least: functions.least,
    exp.Greatest: functions.greatest,
    exp.Coalesce: functions.coalesce,
}
_ORDER: dict[type[exp.Expr], Callable[[Evaluate, Evaluate], Evaluate]] = {
    exp.LT: logic.less,
    exp.LTE: logic.less_equal,
    exp.GT: logic.greater,
    exp.GTE: logic.greater_equal,
}
_SUMS: dict[type[exp.Expr], Callable[[Evaluate, Evaluate], Evaluate]] = {
    exp.Add: logic.add,
    exp.Sub: logic.subtract,
    exp.Mul: logic.multiply,
    exp.Div: logic.divide,
    exp.Mod: logic.modulo,
}
FUNCTION_NAMES = (
    *functions.SCALAR,
    *functions.OVER,
    *("LEAST", "GREATEST", "COALESCE", "NULLIF", "PIECEWISE", "change_over", "rate_over", "previous"),
)


def compile_expression(text: str, names: Names, want: str = "any") -> Expression:
    """Compile, or say what is wrong and where in the text.

    Args:
        want: the type that the result must have: ``bool``, ``num`` or ``any``.

    Raises:
        Invalid: ``rules.expression_*``, ``rules.property_unknown``, ``rules.function_unknown`` …; ``params`` hold
            ``line`` and ``column`` inside the text, from 1.
    """
    tree = _parse(text)
    compiler = _Compiler(names)
    kind, evaluate = compiler.compile(tree, 0)
    if want != "any" and kind not in (want, "any"):
        raise Invalid("rules.expression_wrong_type", got=kind, want=want, line=1, column=1)
    inputs, tables = frozenset(compiler.inputs), frozenset(compiler.tables)
    return Expression(text, kind, inputs, compiler.windows, tables, evaluate, find_cuts(tree), plain_column(tree))


def _parse(text: str) -> exp.Expr:
    if len(text) > _LONGEST:
        raise Invalid("rules.expression_too_long", limit=_LONGEST, line=1, column=1)
    try:
        trees = sqlglot.parse(text)
    except ParseError as error:
        found = error.errors[0] if error.errors else {}
        detail = re.sub(r"<class 'sqlglot[^']*\.(\w+)'>", r"\1", str(found.get("description", "not an expression")))
        line, column = int(found.get("line") or 1), int(found.get("col") or 1)
        raise Invalid("rules.expression_not_sql", detail=detail, line=line, column=column) from None
    except (TokenError, RecursionError):
        raise Invalid("rules.expression_not_sql", detail="a quote or bracket is not closed", line=1, column=1) from None
    if len(trees) != 1 or trees[0] is None:
        raise Invalid("rules.expression_not_sql", detail="one expression is wanted", line=1, column=1)
    if sum(1 for _ in trees[0].walk()) > _MOST_NODES:
        raise Invalid("rules.expression_too_long", limit=_MOST_NODES, line=1, column=1)
    return trees[0]


def _position(node: exp.Expr) -> dict[str, int]:
    """Where a node stands; sqlglot marks identifiers and named functions, so the first of those inside counts."""
    for one in node.walk():
        if "line" in one.meta:
            line, end, start = one.meta["line"], one.meta["end"], one.meta["start"]
            return {"line": line, "column": max(1, one.meta["col"] - (end - start))}
    return {"line": 1, "column": 1}


class _Compiler:
    """Walks the tree once; remembers what the expression needs."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.inputs: set[str] = set()
        self.windows: dict[str, int] = {}
        self.tables: set[str] = set()

    def compile(self, node: exp.Expr, depth: int) -> tuple[str, Evaluate]:
        """Return (type, closure) of a node."""
        if depth > _DEEPEST:
            raise Invalid("rules.expression_too_long", limit=_DEEPEST, **_position(node))
        kind = type(node)
        if kind is exp.Paren:
            return self.compile(node.this, depth + 1)
        if kind is exp.Literal:
            return self._literal(node)
        if kind is exp.Column:
            return self._column(node)
        if kind is exp.Boolean:
            truth = bool(node.this)
            return "bool", lambda scope: truth
        if kind is exp.Null:
            return "any", lambda scope: None
        if kind in (exp.And, exp.Or):
            left, right = (self._typed(part, "bool", depth) for part in (node.this, node.expression))
            return "bool", (logic.both if kind is exp.And else logic.either)(left, right)
        if kind is exp.Not:
            return "bool", logic.negation(self._typed(node.this, "bool", depth))
        if kind in _SUMS:
            left, right = (self._typed(part, "num", depth) for part in (node.this, node.expression))
            return "num", _SUMS[kind](left, right)
        if kind is exp.Neg:
            return "num", logic.calling(functions.known(lambda x: -x), self._typed(node.this, "num", depth))
        return self._comparison(node, depth)

    def _comparison(self, node: exp.Expr, depth: int) -> tuple[str, Evaluate]:
        kind = type(node)
        if kind in (exp.EQ, exp.NEQ):
            left, right = self._alike(node, [node.this, node.expression], depth)
            return "bool", logic.equal(left, right) if kind is exp.EQ else logic.unequal(left, right)
        if kind in _ORDER:
            left, right = self._alike(node, [node.this, node.expression], depth)
            return "bool", _ORDER[kind](left, right)
        if kind is exp.Between:
            value, low, high = self._alike(node, [node.this, node.args["low"], node.args["high"]], depth)
            return "bool", logic.both(logic.greater_equal(value, low), logic.less_equal(value, high))
        if kind is exp.In and node.expressions and not node.args.get("query"):
            value, *listed = self._alike(node, [node.this, *node.expressions], depth)
            return "bool", logic.among(value, listed)
        if kind in (exp.Like, exp.ILike) and isinstance(node.expression, exp.Literal) and node.expression.is_string:
            pattern = _like(node.expression.this, ignore_case=kind is exp.ILike)
            return "bool", logic.matches(self._typed(node.this, "text", depth), pattern)
        if kind is exp.Is and isinstance(node.expression, exp.Null):
            inner = self.compile(node.this, depth + 1)[1]
            return "bool", lambda scope: inner(scope) is None
        if kind is exp.Case:
            return self._case(node, depth)
        return self._call(node, depth)

    def _literal(self, node: exp.Expr) -> tuple[str, Evaluate]:
        if node.is_string:
            text = str(node.this)
            return "text", lambda scope: text
        number = float(node.this)
        if not math.isfinite(number):
            raise Invalid("rules.expression_not_sql", detail="the number is too large", line=1, column=1)
        return "num", lambda scope: number

    def _column(self, node: exp.Expr) -> tuple[str, Evaluate]:
        name = node.name
        if node.args.get("table") is not None:
            raise Invalid("rules.expression_not_allowed", what=f"{node.sql()}", **_position(node))
        if name == "this" and self.names.this:
            return "num", lambda scope: scope.this
        kind = self._known(node, name)
        self.inputs.add(name)
        if name in self.names.streams:
            return kind, lambda scope: scope.value(name)
        return kind, lambda scope: scope.attribute(name)

    def _known(self, node: exp.Expr, name: str) -> str:
        kind = self.names.types.get(name)
        if kind is None or kind == "geo":
            near = nearest(name, [known for known, one in self.names.types.items() if one != "geo"]) or "-"
            code = "rules.property_unknown" if kind is None else "rules.property_not_comparable"
            raise Invalid(code, property=name, type=self.names.owner, nearest=near, **_position(node))
        return kind

    def _typed(self, node: exp.Expr, want: str, depth: int) -> Evaluate:
        kind, evaluate = self.compile(node, depth + 1)
        if kind not in (want, "any"):
            raise Invalid("rules.expression_wrong_type", got=kind, want=want, **_position(node))
        return evaluate

    def _alike(self, node: exp.Expr, parts: list[exp.Expr], depth: int) -> list[Evaluate]:
        compiled = [self.compile(part, depth + 1) for part in parts]
        kinds = {kind for kind, _ in compiled} - {"any"}
        if len(kinds) > 1:
            got, want = sorted(kinds)
            raise Invalid("rules.expression_wrong_type", got=got, want=want, **_position(node))
        self._check_choices(parts)
        return [evaluate for _, evaluate in compiled]

    def _check_choices(self, parts: list[exp.Expr]) -> None:
        """A misspelt value of an enumerated property would silently never be met."""
        for column in (part for part in parts if isinstance(part, exp.Column)):
            choices = self.names.choices.get(column.name)
            for literal in (part for part in parts if choices and isinstance(part, exp.Literal) and part.is_string):
                if choices and literal.this not in choices:
                    raise Invalid(
                        "rules.value_not_in_list",
                        value=literal.this,
                        property=column.name,
                        choices=", ".join(choices[:20]),
                        **_position(column),
                    )

    def _case(self, node: exp.Expr, depth: int) -> tuple[str, Evaluate]:
        if node.args.get("this") is not None:
            raise Invalid("rules.expression_not_allowed", what="CASE value WHEN", **_position(node))
        arms = [
            (self._typed(arm.this, "bool", depth), self.compile(arm.args["true"], depth + 1))
            for arm in node.args["ifs"]
        ]
        default = node.args.get("default")
        otherwise = self.compile(default, depth + 1) if default is not None else ("any", lambda scope: None)
        kinds = {kind for _, (kind, _) in arms} | {otherwise[0]}
        kinds.discard("any")
        if len(kinds) > 1:
            got, want = sorted(kinds)[:2]
            raise Invalid("rules.expression_wrong_type", got=got, want=want, **_position(node))
        choose = logic.first_true([(condition, result) for condition, (_, result) in arms], otherwise[1])
        return (kinds.pop() if kinds else "any"), choose

    def _call(self, node: exp.Expr, depth: int) -> tuple[str, Evaluate]:
        kind = type(node)
        if kind in _SCALAR_NODES:
            return self._scalar(node, _SCALAR_NODES[kind], depth)
        if kind in _SEVERAL:
            parts = [node.this, *node.expressions]
            arguments = self._alike(node, parts, depth)
            kinds = {self.compile(part, depth + 1)[0] for part in parts} - {"any"}
            return (kinds.pop() if kinds else "any"), logic.calling(_SEVERAL[kind], *arguments)
        if kind is exp.Nullif:
            left, right = self._alike(node, [node.this, node.expression], depth)
            return self.compile(node.this, depth + 1)[0], logic.calling(functions.nullif, left, right)
        if kind is exp.Anonymous:
            return self._own(node, str(node.this), list(node.expressions), depth)
        what = node.sql_name() if isinstance(node, exp.Func) else kind.__name__.upper()
        code = "rules.function_unknown" if isinstance(node, exp.Func) else "rules.expression_not_allowed"
        near = nearest(what, FUNCTION_NAMES) or "-"
        raise Invalid(code, what=what, nearest=near, **_position(node))

    def _scalar(self, node: exp.Expr, name: str, depth: int) -> tuple[str, Evaluate]:
        function, fewest, most, takes, gives = functions.SCALAR[name]
        parts = [
            part
            for part in (node.args.get("this"), node.args.get("expression"), node.args.get("decimals"))
            if part is not None
        ]
        if not fewest <= len(parts) <= most:
            raise Invalid("rules.function_arguments", function=name, want=fewest, **_position(node))
        return gives, logic.calling(function, *(self._typed(part, takes, depth) for part in parts))

    def _own(self, node: exp.Expr, name: str, parts: list[exp.Expr], depth: int) -> tuple[str, Evaluate]:
        lower = name.lower()
        if lower == "piecewise":
            return self._piecewise(node, parts, depth)
        if lower == "previous":
            past, _ = self._past(node, lower, parts, 1, 1)
            return self.names.types[past], lambda scope: scope.previous(past)
        if lower in functions.OVER:
            return self._over(node, lower, parts)
        if lower == "change_over":
            past, over_us = self._past(node, lower, parts, 2, 2)
            return "num", lambda scope: functions.change(scope.samples(past, over_us + 1))  # both ends count
        if lower == "rate_over":
            past, over_us = self._past(node, lower, parts, 3, 3)
            per_us = self._duration(node, lower, parts[2])
            return "num", lambda scope: functions.rate(scope.samples(past, over_us + 1), per_us, over_us // 2)
        raise Invalid(
            "rules.function_unknown", what=name, nearest=nearest(name, FUNCTION_NAMES) or "-", **_position(node)
        )

    def _over(self, node: exp.Expr, name: str, parts: list[exp.Expr]) -> tuple[str, Evaluate]:
        past, over_us = self._past(node, name, parts, 2, 3)
        aggregate, least = functions.OVER[name], 0
        if len(parts) == 3:
            if not isinstance(parts[2], exp.Literal) or parts[2].is_string or not str(parts[2].this).isdigit():
                raise Invalid("rules.function_arguments", function=name, want=3, **_position(node))
            least = int(parts[2].this)

        def evaluate(scope: Scope) -> float | None:
            samples = scope.samples(past, over_us)
            return aggregate(samples) if len(samples[0]) >= least else None

        return "num", evaluate

    def _past(self, node: exp.Expr, name: str, parts: list[exp.Expr], fewest: int, most: int) -> tuple[str, int]:
        """Read ``(property, 'duration', …)`` and remember how much of the past is needed."""
        if not self.names.past:
            raise Invalid("rules.expression_not_allowed", what=name, **_position(node))
        if not fewest <= len(parts) <= most or not isinstance(parts[0], exp.Column):
            raise Invalid("rules.function_arguments", function=name, want=fewest, **_position(node))
        past = parts[0].name
        kind = self._known(parts[0], past)
        over_us = 0
        if fewest > 1:
            if kind not in ("num", "any"):
                raise Invalid("rules.expression_wrong_type", got=kind, want="num", **_position(parts[0]))
            over_us = self._duration(node, name, parts[1])
            self.windows[past] = max(over_us + 1, self.windows.get(past, 0))
        self.inputs.add(past)
        return past, over_us

    def _duration(self, node: exp.Expr, name: str, part: exp.Expr) -> int:
        try:
            microseconds = read_duration_us(part.this if isinstance(part, exp.Literal) else None)
        except Invalid as error:
            raise Invalid(error.code, **error.params, **_position(node)) from None
        if not microseconds:
            raise Invalid("rules.function_arguments", function=name, want=2, **_position(node))
        return microseconds

    def _piecewise(self, node: exp.Expr, parts: list[exp.Expr], depth: int) -> tuple[str, Evaluate]:
        if len(parts) != 2 or not isinstance(parts[0], exp.Literal):
            raise Invalid("rules.function_arguments", function="PIECEWISE", want=2, **_position(node))
        name = str(parts[0].this)
        table = self.names.tables.get(name)
        if table is None:
            near = nearest(name, self.names.tables) or "-"
            raise Invalid("rules.table_unknown", table=name, nearest=near, **_position(node))
        self.tables.add(name)
        return "num", logic.calling(functions.known(table.at), self._typed(parts[1], "num", depth))


def _like(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    parts = [".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in pattern]
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
