"""YAML written by people: read with positions, so that every complaint names file, line and column.

Rules, mappings, vocabularies and pack manifests are all read through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml

from gulou.kernel.errors import Invalid

_LONGEST_CHARACTERS = 1_000_000
_DEEPEST = 64

Path = tuple[str | int, ...]
"""Where in a document: keys and list indexes, ``("levels", "red", 0)``."""


class Problem(msgspec.Struct, frozen=True):
    """One complaint about a document; ``line`` and ``column`` count from 1, 0 where unknown."""

    code: str
    params: dict[str, Any]
    file: str
    line: int = 0
    column: int = 0


class Document:
    """A parsed YAML document: plain data, and the position of every node in it.

    Args:
        file: the name shown in complaints.
        data: mappings, lists and scalars as ``yaml.safe_load`` makes them.
    """

    def __init__(self, file: str, data: Any, positions: dict[Path, tuple[int, int]]) -> None:
        self.file = file
        self.data = data
        self._positions = positions

    @classmethod
    def parse(cls, text: str, file: str) -> Document:
        """Read one YAML document safely.

        Raises:
            Invalid: ``document.broken`` with ``problems``: not YAML, a key given twice, too long or too deep, an alias.
        """
        if len(text) > _LONGEST_CHARACTERS:
            raise broken([Problem("document.too_long", {"limit": _LONGEST_CHARACTERS}, file)])
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            detail = str(getattr(error, "problem", None) or error)
            raise broken([Problem("document.not_yaml", {"detail": detail}, file, line, column)]) from None
        positions: dict[Path, tuple[int, int]] = {}
        problems: list[Problem] = []
        if node is not None:
            _walk(node, (), positions, problems, file, set())
        if problems:
            raise broken(problems)
        return cls(file, data, positions)

    def position(self, path: Path) -> tuple[int, int]:
        """Return (line, column) of a node, or of its nearest parent that is there."""
        while path not in self._positions and path:
            path = path[:-1]
        return self._positions.get(path, (0, 0))

    def problem(self, path: Path, code: str, **params: object) -> Problem:
        """Make a complaint about one node."""
        line, column = self.position(path)
        return Problem(code, params, self.file, line, column)


def broken(problems: Iterable[Problem]) -> Invalid:
    """Make the one error that carries every problem found; ``params["problems"]`` are plain mappings."""
    found = list(problems)
    first = found[0]
    return Invalid(
        "document.broken",
        count=len(found),
        file=first.file,
        line=first.line,
        problems=[msgspec.to_builtins(problem) for problem in found],
    )


def problems_of(error: Invalid) -> list[Problem]:
    """Return the problems inside an error made by ``broken``; empty for any other error."""
    raw = error.params.get("problems", [])
    return [msgspec.convert(one, Problem) for one in raw] if isinstance(raw, list) else []


def _walk(
    node: yaml.Node,
    path: Path,
    positions: dict[Path, tuple[int, int]],
    problems: list[Problem],
    file: str,
    seen: set[int],
) -> None:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    positions[path] = (line, column)
    if id(node) in seen:  # an alias could make a small file enormous
        problems.append(Problem("document.alias", {}, file, line, column))
        return
    if len(path) > _DEEPEST:
        problems.append(Problem("document.too_deep", {"limit": _DEEPEST}, file, line, column))
        return
    if isinstance(node, yaml.MappingNode):
        seen.add(id(node))
        _walk_mapping(node, path, positions, problems, file, seen)
    elif isinstance(node, yaml.SequenceNode):
        seen.add(id(node))
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), positions, problems, file, seen)


def _walk_mapping(
    node: yaml.MappingNode,
    path: Path,
    positions: dict[Path, tuple[int, int]],
    problems: list[Problem],
    file: str,
    seen: set[int],
) -> None:
    keys: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        if name in keys:
            mark = key.start_mark
            problems.append(Problem("document.key_twice", {"key": name}, file, mark.line + 1, mark.column + 1))
        keys.add(name)
        _walk(value, (*path, name), positions, problems, file, seen)


def nearest(name: str, known: Mapping[str, object] | Iterable[str]) -> str | None:
    """Return the known name most like a mistyped one, or None when none is like it."""
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
