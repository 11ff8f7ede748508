"""SQL's three-valued logic and arithmetic as closures: None is unknown, and unknown spreads."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from gulou.hub.rules.expression.scope import Scope

Evaluate = Callable[[Scope], Any]


def both(left: Evaluate, right: Evaluate) -> Evaluate:
    """AND: false wins over unknown."""

    def evaluate(scope: Scope) -> bool | None:
        one = left(scope)
        if one is False:
            return False
        other = right(scope)
        if other is False:
            return False
        return None if one is None or other is None else True

    return evaluate


def either(left: Evaluate, right: Evaluate) -> Evaluate:
    """OR: true wins over unknown."""

    def evaluate(scope: Scope) -> bool | None:
        one = left(scope)
        if one is True:
            return True
        other = right(scope)
        if other is True:
            return True
        return None if one is None or other is None else False

    return evaluate


def negation(inner: Evaluate) -> Evaluate:
    """NOT."""

    def evaluate(scope: Scope) -> bool | None:
        truth = inner(scope)
        return None if truth is None else not truth

    return evaluate


def _comparing(compare: Callable[[Any, Any], bool]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def build(left: Evaluate, right: Evaluate) -> Evaluate:
        def evaluate(scope: Scope) -> bool | None:
            one, other = left(scope), right(scope)
            if one is None or other is None:
                return None
            try:
                return bool(compare(one, other))
            except TypeError:  # a text where a number is usual: no answer, not a defect of the rule
                return None

        return evaluate

    return build


less = _comparing(operator.lt)
less_equal = _comparing(operator.le)
greater = _comparing(operator.gt)
greater_equal = _comparing(operator.ge)
equal = _comparing(operator.eq)
unequal = _comparing(operator.ne)


def _calculating(calculate: Callable[[Any, Any], Any]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def build(left: Evaluate, right: Evaluate) -> Evaluate:
        def evaluate(scope: Scope) -> Any:
            one, other = left(scope), right(scope)
            if one is None or other is None:
                return None
            try:
                result = calculate(one, other)
                return result if math.isfinite(result) else None
            except (ArithmeticError, ValueError, TypeError):
                return None

        return evaluate

    return build


add = _calculating(operator.add)
subtract = _calculating(operator.sub)
multiply = _calculating(operator.mul)
divide = _calculating(operator.truediv)
modulo = _calculating(math.fmod)


def among(value: Evaluate, listed: Sequence[Evaluate]) -> Evaluate:
    """IN: unknown where no member is equal and one of them is unknown."""

    def evaluate(scope: Scope) -> bool | None:
        one = value(scope)
        if one is None:
            return None
        members = [member(scope) for member in listed]
        if one in [member for member in members if member is not None]:
            return True
        return None if None in members else False

    return evaluate


def matches(value: Evaluate, pattern: re.Pattern[str]) -> Evaluate:
    """LIKE."""

    def evaluate(scope: Scope) -> bool | None:
        text = value(scope)
        return pattern.fullmatch(text) is not None if isinstance(text, str) else None

    return evaluate


def calling(function: Callable[..., Any], *arguments: Evaluate) -> Evaluate:
    """Call a function on evaluated arguments."""
    if len(arguments) == 1:
        only = arguments[0]
        return lambda scope: function(only(scope))
    return lambda scope: function(*[argument(scope) for argument in arguments])


def first_true(arms: Sequence[tuple[Evaluate, Evaluate]], otherwise: Evaluate) -> Evaluate:
    """CASE WHEN: the first arm whose condition is true."""

    def evaluate(scope: Scope) -> Any:
        for condition, result in arms:
            if condition(scope) is True:
                return result(scope)
        return otherwise(scope)

    return evaluate
