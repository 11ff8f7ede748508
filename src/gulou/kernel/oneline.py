"""The quick way through very long lists: YAML whose items stand one a line, as programs write them.

    rules:
      - {id: level-1, kind: threshold, levels: {orange: 2.0}, headline: "{name}: {value:.2f} m"}
      - {id: level-2, …}

What this reads, the YAML reader reads the same (a test holds one against the other); of everything else, be it
right or wrong, it says nothing, and the YAML reader has the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Line = tuple[int, int]
"""Where an item begins: line and column, from 1."""

_WIDE = "\u00a1-\u167f\u1681-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff\uf900-\ufdff\uff00-\uffef"
_UNUSUAL = re.compile(rf"[^\n\x20-\x7e{_WIDE}]")
_FIRST = rf"[A-Za-z0-9_./<=+(~^${_WIDE}]|-(?=[0-9.])"
_REST = rf"[A-Za-z0-9_./<=+(~^${_WIDE}\-)*&!|>%@'\"\\;]"
_PLAIN = rf"(?:{_FIRST})(?:{_REST}++|:(?=[A-Za-z0-9_/])| ++(?={_REST}))*+"
_TOKEN = re.compile(rf""" *(?:[{{}}\[\],]|(?:"[^"\\]*"|'[^']*'|{_PLAIN})(?::(?= ))?)""")
_ITEM = re.compile(r"( *)- (\{.*\}) *")
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63}): *")
_DEEPEST = 16
_LONGEST_KEY = 128
_OPEN, _SHUT, _BEGIN, _END, _NEXT, _KEYED, _SCALAR = range(7)
_MARKS = {"{": _OPEN, "}": _SHUT, "[": _BEGIN, "]": _END, ",": _NEXT}
_Part = tuple[int, Any]


def read_lines(text: str, plain: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, list[Line]]] | None:
    """Read a document that maps keys to lists of one-line mappings.

    Args:
        plain: turns the text of an unquoted scalar into its value.

    Returns:
        The data, and for each key the places of its items; None: it is something else.
    """
    if _UNUSUAL.search(text):
        return None
    data: dict[str, Any] = {}
    places: dict[str, list[Line]] = {}
    reader = _Reader(plain)
    items: list[Any] | None = None
    lines: list[Line] = []
    for number, line in enumerate(text.split("\n"), 1):
        found = _ITEM.fullmatch(line)
        if found is not None:
            column = found.end(1) + 3
            item = reader.read(found[2])
            if items is None or item is None or (lines and lines[0][1] != column):
                return None
            items.append(item)
            lines.append((number, column))
        elif line and not line.lstrip(" ").startswith("#") and not line.isspace():
            key = _KEY.fullmatch(line)
            if key is None or key[1] in data or items == []:
                return None
            items = data[key[1]] = []
            lines = places[key[1]] = []
    return (data, places) if items else None


class _Other(Exception):  # no error: somebody else reads it
    """It is something else than what is read here."""


class _Reader:
    """Reads one item after the other; remembers words, which recur in such lists."""

    def __init__(self, plain: Callable[[str], Any]) -> None:
        self._plain = plain
        self._known: dict[str, _Part] = {}

    def read(self, text: str) -> dict[str, Any] | None:
        """Return the mapping that a text is, or None where it may be anything else."""
        tokens = _TOKEN.findall(text)
        if sum(map(len, tokens)) != len(text):
            return None
        known = self._known
        try:
            parts = [known.get(token) or self._learn(token) for token in tokens]
            end, found = _mapping(parts, 1, 1)
        except (IndexError, _Other):
            return None
        return found if end == len(parts) else None

    def _learn(self, token: str) -> _Part:
        word = token.lstrip(" ")
        kind = _MARKS.get(word)
        if kind is not None:
            part = (kind, word)
        elif word[-1] == ":":
            name = word[1:-2] if word[0] in "\"'" else word[:-1]
            if len(name) > _LONGEST_KEY or name == "<<":
                raise _Other
            part = (_KEYED, name)
        else:
            part = (_SCALAR, word[1:-1] if word[0] in "\"'" else self._plain(word))
        self._known[token] = part
        return part


def _mapping(parts: list[_Part], at: int, depth: int) -> tuple[int, dict[str, Any]]:
    """Read from after the opening brace to after the closing one."""
    found: dict[str, Any] = {}
    if parts[at][0] == _SHUT:
        return at + 1, found
    while True:
        kind, name = parts[at]
        if kind != _KEYED or name in found:
            raise _Other
        kind, value = parts[at + 1]
        at += 2
        if kind != _SCALAR:
            at, value = _nested(kind, parts, at, depth)
        found[name] = value
        kind = parts[at][0]
        at += 1
        if kind == _SHUT:
            return at, found
        if kind != _NEXT:
            raise _Other


def _sequence(parts: list[_Part], at: int, depth: int) -> tuple[int, list[Any]]:
    """Read from after the opening bracket to after the closing one."""
    found: list[Any] = []
    if parts[at][0] == _END:
        return at + 1, found
    while True:
        kind, value = parts[at]
        at += 1
        if kind != _SCALAR:
            at, value = _nested(kind, parts, at, depth)
        found.append(value)
        kind = parts[at][0]
        at += 1
        if kind == _END:
            return at, found
        if kind != _NEXT:
            raise _Other


def _nested(kind: int, parts: list[_Part], at: int, depth: int) -> tuple[int, Any]:
    if depth >= _DEEPEST:
        raise _Other
    if kind == _OPEN:
        return _mapping(parts, at, depth + 1)
    if kind == _BEGIN:
        return _sequence(parts, at, depth + 1)
    raise _Other
