"""What an expression is once it is compiled, and what it may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.expression.scope import Scope

Evaluate = Callable[[Scope], Any]
Cuts = dict[str, frozenset[float]]


@dataclass(frozen=True)
class Names:
    """What an expression may name.

    Args:
        types: property → ``num``, ``bool``, ``text``, ``any`` or ``geo`` (which no expression can use).
        choices: values of the enumerated properties, to find misspelt ones.
        tables: for ``PIECEWISE``.
        this: whether ``this`` stands for the aggregate.
        owner: the entity type, named in complaints.
        streams: the properties that are measured; the others are read from the entity where no reading told them.
        past: whether windows and ``previous`` may be used.
    """

    types: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tables: Mapping[str, PointTable] = field(default_factory=dict)
    this: bool = False
    owner: str = ""
    streams: frozenset[str] = frozenset()
    past: bool = True


@dataclass(frozen=True)
class Expression:
    """A compiled expression.

    Args:
        kind: ``num``, ``bool``, ``text`` or ``any``: the type of its result.
        inputs: names of the properties that it reads.
        windows: property → the longest past that it reads of it, µs.
        evaluate: gives the result, None for unknown; raises nothing for any input of the declared types.
        cuts: property → the constants that it is compared with, where it does nothing else; None where it does.
        plain: the property that the expression is, where it is just that.
    """

    text: str
    kind: str
    inputs: frozenset[str]
    windows: Mapping[str, int]
    tables: frozenset[str]
    evaluate: Evaluate
    cuts: Cuts | None = None
    plain: str | None = None
