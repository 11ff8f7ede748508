"""YAML as Gulou reads it: with the line of every key and value, so that an error can say where.

Only ``true`` and ``false`` are truth values (``on``, ``off``, ``yes``, ``no`` are texts), dates and times stay texts,
and a key that occurs twice is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from gulou.kernel.errors import Invalid

MAX_LENGTH = 1_048_576
"""Characters of one document."""
MAX_DEPTH = 64

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


@dataclass(frozen=True)
class YamlText:
    """A parsed document.

    Args:
        name: the file's name, for messages.
        data: dicts, lists, texts, numbers, truth values, None.
        lines: path (keys and indexes from the top) → line, from 1. For a mapping's entry it is the line of its key.
    """

    name: str
    data: Any
    lines: dict[Path, int]

    def line_of(self, *path: str | int) -> int:
        """Return the line of a path, or of its nearest ancestor that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse_yaml(text: str, name: str) -> YamlText:
    """Parse one document.

    Raises:
        Invalid: ``yaml.syntax``, ``yaml.duplicate_key``, ``yaml.too_long``, ``yaml.too_deep``, ``yaml.tag_unknown``,
            each with ``file`` and ``line``.
    """
    if len(text) > MAX_LENGTH:
        raise Invalid("yaml.too_long", file=name, line=1, limit=MAX_LENGTH)
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except RecursionError:
        raise Invalid("yaml.too_deep", file=name, line=1, limit=MAX_DEPTH) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise Invalid("yaml.syntax", file=name, line=line, column=column, problem=problem) from error
    builder = _Builder(name)
    data = None if node is None else builder.build(node, ())
    return YamlText(name, data, builder.lines)


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {(): 1}
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._nodes += 1  # aliases are expanded, so their number is bounded here
        if len(path) > MAX_DEPTH or self._nodes > 200_000:
            raise Invalid("yaml.too_deep", file=self.name, line=line, limit=MAX_DEPTH)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise Invalid("yaml.syntax", file=self.name, line=line, column=1, problem="a key must be a text")
            key = str(key_node.value)
            if key in result:
                raise Invalid("yaml.duplicate_key", file=self.name, line=line, key=key)
            self.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        text = str(node.value)
        standard = node.tag.startswith("tag:yaml.org,2002:")
        if not standard:
            raise Invalid("yaml.tag_unknown", file=self.name, line=node.start_mark.line + 1, tag=node.tag)
        # A plain scalar has no style; a quoted or block scalar is always a text.
        return text if getattr(node, "style", None) else _plain_value(text)


def _plain_value(text: str) -> Any:
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text) and len(text) < 40:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return _SPECIAL.get(text, text)
