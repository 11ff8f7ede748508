"""Expressions: SQL's meaning, unknowns, and refusals with a place."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.expression import MappingScope, Names
from gulou.hub.rules.expression.compiler import compile_expression
from gulou.kernel.errors import Invalid

NAMES = Names(
    {"a": "num", "b": "num", "s": "text", "flag": "bool", "where_": "geo"},
    {"s": ("on", "off")},
    {"t": PointTable("t", "1", (0.0, 10.0, 10.0, 20.0), (0.0, 100.0, 150.0, 250.0))},
    owner="Thing",
    streams=frozenset({"a", "b"}),
)


def value(text: str, **attributes):
    return compile_expression(text, NAMES).evaluate(MappingScope(attributes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1 AND b < 2", True),
        ("a BETWEEN 2 AND 3", True),
        ("NOT a IN (1, 2)", True),
        ("s LIKE 'o_'", True),
        ("s LIKE '%F%'", False),
        ("s IS NOT NULL", True),
        ("missing_ IS NULL OR a = 2.5", None),
        ("CASE WHEN a > 2 THEN 7 ELSE 8 END", 7.0),
        ("a % 2", 0.5),
        ("-a + ABS(-3)", 0.5),
        ("ROUND(a)", 3.0),
        ("a / 0", None),
        ("SQRT(-a)", None),
        ("POWER(10, 400)", None),
        ("GREATEST(a, b, NULL)", 2.5),
        ("COALESCE(NULLIF(a, 2.5), b)", 1.0),
        ("PIECEWISE('t', 5)", 50.0),
        ("PIECEWISE('t', 10)", 150.0),
        ("PIECEWISE('t', 99)", 250.0),
        ("flag AND a > 1", True),
    ],
)
def test_meaning(text, expected):
    names = Names({**NAMES.types, "missing_": "num"}, NAMES.choices, NAMES.tables)
    scope = MappingScope({"a": 2.5, "b": 1.0, "s": "on", "flag": True})
    found = compile_expression(text, names).evaluate(scope)
    assert found == (True if expected is None and "IS NULL" in text else expected)


@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("a > 1 AND bb > 2", "rules.property_unknown", 11),
        ("a + s > 1", "rules.expression_wrong_type", 5),
        ("foo(a) > 1", "rules.function_unknown", 1),
        ("a > ", "rules.expression_not_sql", 3),
        ("a > 1; DROP TABLE x", "rules.expression_not_sql", 1),
        ("a IN (SELECT 1)", "rules.expression_not_allowed", 1),
        ("s = 'onn'", "rules.value_not_in_list", 1),
        ("where_ IS NULL", "rules.property_not_comparable", 1),
        ("PIECEWISE('x', a)", "rules.table_unknown", 1),
        ("mean_over(a, 'soon')", "rules.duration_unreadable", 1),
        ("mean_over(3, '5m')", "rules.function_arguments", 1),
        ("other.a > 1", "rules.expression_not_allowed", 7),
        ("'unclosed", "rules.expression_not_sql", 1),
        ("a " + "+ a " * 400, "rules.expression_too_long", 1),
        ("(" * 60 + "a" + ")" * 60, "rules.expression_not_sql", 1),
    ],
)
def test_refusals_name_the_place(text, code, column):
    with pytest.raises(Invalid) as caught:
        compile_expression(text, NAMES)
    assert (caught.value.code, caught.value.params["column"]) == (code, column)


def test_a_wanted_type_is_checked():
    with pytest.raises(Invalid) as caught:
        compile_expression("a + 1", NAMES, "bool")
    assert caught.value.code == "rules.expression_wrong_type"


numbers = st.one_of(st.none(), st.integers(-5, 5))
leaves = st.sampled_from(["a > b", "a = 2", "b <= 1", "a IS NULL", "a + b > 0", "a BETWEEN b AND 3", "b IN (1, 2, a)"])
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"(NOT {one})"),
        st.tuples(inner, inner).map(lambda t: f"(CASE WHEN {t[0]} THEN {t[1]} ELSE NULL END)"),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(text=conditions, a=numbers, b=numbers)
def test_three_valued_logic_is_that_of_a_database(text, a, b):
    with sqlite3.connect(":memory:") as connection:
        expected = connection.execute(f"SELECT {text} FROM (SELECT ? AS a, ? AS b)", (a, b)).fetchone()[0]
    found = value(text, a=a, b=b)
    assert found == (None if expected is None else bool(expected))


def test_a_table_may_leave_its_outside_unknown():
    table = PointTable("t", "1", (0.0, 1.0), (0.0, 1.0), clamp=False)
    assert [table.at(x) for x in (-1.0, 0.5, 1.0, 2.0)] == [None, 0.5, 1.0, None]
