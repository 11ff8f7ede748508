"""YAML written by people: read with positions, so that every complaint names file, line and column.

Rules, mappings, vocabularies and pack manifests are all read through here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml

from gulou.kernel.errors import Invalid
from gulou.kernel.oneline import Line, read_lines

_LONGEST_CHARACTERS = 1_000_000
_DEEPEST = 64
_LONGEST_NUMBER = 40
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
# A number with zeros before it is a code (a region, a phone), so it stays a text.
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}

Path = tuple[str | int, ...]
"""Where in a document: keys and list indexes, ``("levels", "red", 0)``."""


class Problem(msgspec.Struct, frozen=True):
    """One complaint about a document; ``line`` and ``column`` count from 1, 0 where unknown."""

    code: str
    params: dict[str, Any]
    file: str
    line: int = 0
    column: int = 0


class _Places:
    """Where the nodes of a document are; found out only when somebody asks, where reading did not tell.

    Args:
        lines: of the items of a document's lists, as far as they are known.
    """

    def __init__(self, text: str, file: str, lines: Mapping[str, list[Line]], walk: _Walk | None = None) -> None:
        self._text = text
        self._file = file
        self._lines = lines
        self._found = walk

    def position(self, path: Path) -> Line:
        if len(path) == 2:
            lines, index = self._lines.get(str(path[0]), ()), path[1]
            if isinstance(index, int) and 0 <= index < len(lines):
                return lines[index]
        positions = self._walked().positions
        while path not in positions and path:
            path = path[:-1]
        return positions.get(path, (1, 1))

    def key_position(self, path: Path) -> Line:
        return self._walked().keys.get(path) or self.position(path)

    def _walked(self) -> _Walk:
        if self._found is None:
            self._found = _walk(self._text, self._file)
        return self._found


class Document:
    """A parsed YAML document: plain data, and the position of every node in it.

    Args:
        file: the name shown in complaints.
        data: mappings with texts as keys, lists, texts, numbers, truth values, None. As in YAML 1.2, only ``true`` and
            ``false`` are truth values (``on``, ``off``, ``yes``, ``no`` are texts), and dates, times and numbers
            with zeros before them are texts.
    """

    def __init__(self, file: str, data: Any, places: _Places) -> None:
        self.file = file
        self.data = data
        self._places = places

    @classmethod
    def parse(cls, text: str, file: str) -> Document:
        """Read one YAML document safely.

        Raises:
            Invalid: ``document.broken`` with ``problems``: not YAML, a key given twice, too long or too deep, an alias.
        """
        if len(text) > _LONGEST_CHARACTERS:
            raise broken([Problem("document.too_long", {"limit": _LONGEST_CHARACTERS}, file)])
        quick = read_lines(text, _plain_value)
        if quick is not None:
            return cls(file, quick[0], _Places(text, file, quick[1]))
        walk = _walk(text, file)
        return cls(file, walk.data, _Places(text, file, {}, walk))

    def position(self, path: Path) -> tuple[int, int]:
        """Return (line, column) of a node, or of its nearest parent that is there."""
        return self._places.position(path)

    def key_position(self, path: Path) -> tuple[int, int]:
        """Return (line, column) of the key that leads to a node; of the node itself where it is a list's item."""
        return self._places.key_position(path)

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


class _Loader(yaml.CSafeLoader):
    """Makes nodes without guessing what plain scalars mean: that is ``_plain_value``'s."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return _IMPLIED[kind]


_IMPLIED = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}


def _walk(text: str, file: str) -> _Walk:
    """Read a document as YAML.

    Raises:
        Invalid: as ``Document.parse``.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except RecursionError:
        raise broken([Problem("document.too_deep", {"limit": _DEEPEST}, file)]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        detail = str(getattr(error, "problem", None) or error)
        raise broken([Problem("document.not_yaml", {"detail": detail}, file, line, column)]) from None
    walk = _Walk(file)
    walk.data = None if node is None else walk.visit(node, ())
    if walk.problems:
        raise broken(walk.problems)
    return walk


class _Walk:
    """Turns nodes into plain data, noting positions and every problem on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.positions: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self.data: Any = None
        self._seen: set[int] = set()

    def visit(self, node: yaml.Node, path: Path) -> Any:
        self.positions[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if id(node) in self._seen:  # an alias could make a small file enormous
            return self._refuse(node, "document.alias")
        if len(path) > _DEEPEST:
            return self._refuse(node, "document.too_deep", limit=_DEEPEST)
        if node.tag not in _TAGS:
            return self._refuse(node, "document.tag", tag=node.tag)
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.visit(item, (*path, index)) for index, item in enumerate(node.value)]
        # A plain scalar has no style; a quoted or block scalar is always a text.
        return str(node.value) if getattr(node, "style", None) else _plain_value(str(node.value))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if not isinstance(key, yaml.ScalarNode) or name == "<<":
                self._refuse(key, "document.key_unusable")
                continue
            if name in result:
                self._refuse(key, "document.key_twice", key=name)
            self.keys[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            result[name] = self.visit(value, (*path, name))
        return result

    def _refuse(self, node: yaml.Node, code: str, **params: object) -> None:
        mark = node.start_mark
        self.problems.append(Problem(code, params, self.file, mark.line + 1, mark.column + 1))


def _plain_value(text: str) -> Any:
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if len(text) < _LONGEST_NUMBER and _INTEGER.fullmatch(text):
        return int(text)
    if len(text) < _LONGEST_NUMBER and _FLOAT.fullmatch(text):
        return float(text)
    return _SPECIAL.get(text, text)


def nearest(name: str, known: Mapping[str, object] | Iterable[str]) -> str | None:
    """Return the known name most like a mistyped one, or None when none is like it."""
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
