"""Finds every code that the source can raise, so that a test can demand a text for each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gulou.kernel.messages.catalogue import LANGUAGES, Catalogue

_CODE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_CALLS = re.compile(
    r"^(GulouError|Invalid|NotFound|Conflict|Denied|Unavailable|Fault)$|flaw|reject|refuse|invalid|problem|broken|fail",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RaisedCode:
    """One place in the source that makes an error, flaw or reject.

    Args:
        params: names of the parameters given there; None when they are not all written out (``**params``).
    """

    code: str
    file: Path
    line: int
    params: frozenset[str] | None


@dataclass(frozen=True)
class Gap:
    """A code and what its text lacks (``language en``, ``parameter device_id``), with one place that raises it."""

    code: str
    lacks: str
    file: Path
    line: int


def codes_in_source(root: Path) -> list[RaisedCode]:
    """List the codes in calls of the error classes and of functions named after flaws and rejects, below ``root``."""
    found: list[RaisedCode] = []
    for file in sorted(root.rglob("*.py")):
        if "tests" not in file.relative_to(root).parts:
            tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
            found.extend(_codes_in(tree, file))
    return found


def find_gaps(root: Path, catalogue: Catalogue) -> list[Gap]:
    """List codes raised below ``root`` that lack a text in a language, or whose text names a parameter not given."""
    gaps: list[Gap] = []
    for raised in codes_in_source(root):
        lacks = [f"language {name}" for name in LANGUAGES if not catalogue.find_text(raised.code, name)]
        if raised.params is not None:
            lacks += [f"parameter {name}" for name in sorted(catalogue.places(raised.code) - raised.params)]
        gaps.extend(Gap(raised.code, lack, raised.file, raised.line) for lack in lacks)
    return gaps


def _codes_in(tree: ast.AST, file: Path) -> Iterator[RaisedCode]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _called_name(node.func)
        if not _CALLS.search(name):
            continue
        given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        for code in _constants(given[0] if given else node.args[0] if node.args else None):
            yield RaisedCode(code, file, node.lineno, _params(node, name))


def _called_name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _constants(expression: ast.expr | None) -> Iterator[str]:
    if isinstance(expression, ast.IfExp):
        yield from _constants(expression.body)
        yield from _constants(expression.orelse)
    elif (
        isinstance(expression, ast.Constant) and isinstance(expression.value, str) and _CODE.fullmatch(expression.value)
    ):
        yield expression.value


def _params(call: ast.Call, name: str) -> frozenset[str] | None:
    """Names of the keywords of an error's call; a flaw carries a dict, which is read where it is written out."""
    if name in {"GulouError", "Invalid", "NotFound", "Conflict", "Denied", "Unavailable", "Fault"}:
        names = [keyword.arg for keyword in call.keywords]
        return None if None in names or len(call.args) > 1 else frozenset(str(name) for name in names)
    for argument in [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "params")]:
        if isinstance(argument, ast.Dict) and all(isinstance(key, ast.Constant) for key in argument.keys):
            return frozenset(str(key.value) for key in argument.keys if isinstance(key, ast.Constant))
    return None
