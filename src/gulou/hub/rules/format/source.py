"""One rule's part of a document: typed look-ups that collect problems instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date
from typing import Any, TypeVar

from gulou.hub.rules.durations import read_duration_us
from gulou.hub.rules.expression import Expression, Names
from gulou.hub.rules.model import SEVERITIES
from gulou.hub.rules.texts import Template, compile_text
from gulou.kernel.documents import Document, Path, Problem, nearest
from gulou.kernel.errors import Invalid

T = TypeVar("T")


class Source:
    """A document being read.

    Args:
        text: the document's text, to point into expressions.
        shared: what rules of the same pack have in common: expressions and texts that are compiled once.
    """

    def __init__(self, document: Document, text: str, shared: dict[Any, Any] | None = None) -> None:
        self.document = document
        self.shared: dict[Any, Any] = {} if shared is None else shared
        self.problems: list[Problem] = []
        self._lines = text.splitlines()

    def complain(self, path: Path, code: str, **params: object) -> None:
        self.problems.append(self.document.problem(path, code, **params))

    def attempt(self, path: Path, action: Callable[[], T]) -> T | None:
        """Run what may find the node at ``path`` invalid; positions inside an expression are made absolute."""
        try:
            return action()
        except Invalid as error:
            params = dict(error.params)
            line, column = self.document.position(path)
            inner = (params.pop("line", None), params.pop("column", None))
            if isinstance(inner[0], int) and isinstance(inner[1], int):
                line, column = self._inside(line, column, inner[0], inner[1])
            self.problems.append(Problem(error.code, params, self.document.file, line, column))
            return None

    def _inside(self, line: int, column: int, inner_line: int, inner_column: int) -> tuple[int, int]:
        if not 1 <= line <= len(self._lines):
            return line, column
        first = self._lines[line - 1][column - 1 : column]
        if first in ("|", ">"):
            text = next((one for one in self._lines[line:] if one.strip()), "")  # its indent is not part of the block
            return line + inner_line, len(text) - len(text.lstrip()) + inner_column
        if inner_line > 1:
            return line + inner_line - 1, inner_column
        return line, column + inner_column - 1 + (first in ("'", '"'))

    def known_keys(self, data: dict[str, Any], allowed: Collection[str], path: Path) -> None:
        for key in data:
            if key not in allowed:
                self.complain((*path, key), "document.unknown_key", key=key, nearest=nearest(key, allowed) or "-")

    def need(self, data: dict[str, Any], key: str, path: Path) -> Any:
        if data.get(key) is None:
            self.complain(path, "document.missing_key", key=key)
        return data.get(key)

    def kind(self, value: object, path: Path, kind: type[T], expected: str) -> T | None:
        """Return a value of the wanted kind, or complain; None (absent) passes silently."""
        if value is None:
            return None
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return value
        self.complain(path, "document.wrong_kind", key=str(path[-1]) if path else "file", expected=expected)
        return None

    def mapping(self, value: object, path: Path) -> dict[str, Any]:
        return self.kind(value, path, dict, "a mapping") or {}

    def listing(self, value: object, path: Path, most: int) -> list[Any]:
        found = self.kind(value, path, list, "a list") or []
        if len(found) > most:
            self.complain(path, "rules.too_many", key=str(path[-1]), limit=most)
        return found[:most]

    def text(self, value: object, path: Path) -> str | None:
        return self.kind(value, path, str, "a text")

    def truth(self, value: object, path: Path, default: bool) -> bool:
        found = self.kind(value, path, bool, "true or false")
        return default if found is None else found

    def number(self, value: object, path: Path) -> float | None:
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e15:
            return float(value)
        self.complain(path, "document.wrong_kind", key=str(path[-1]), expected="a number")
        return None

    def whole(self, value: object, path: Path, low: int, high: int) -> int | None:
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.complain(path, "document.wrong_kind", key=str(path[-1]), expected=f"a whole number from {low} to {high}")
        return None

    def duration(self, data: dict[str, Any], key: str, path: Path, default: int = 0, *, zero: bool = True) -> int:
        """Read a duration in µs."""
        if data.get(key) is None:
            return default
        found = self.attempt((*path, key), lambda: read_duration_us(data[key]))
        if found == 0 and not zero:
            self.complain((*path, key), "rules.duration_zero", key=key)
        return default if found is None else found

    def choice(self, data: dict[str, Any], key: str, path: Path, allowed: Collection[str], default: str) -> str:
        value = data.get(key, default)
        if value in allowed:
            return str(value)
        near = nearest(str(value), allowed) or ", ".join(allowed)
        self.complain((*path, key), "rules.not_one_of", key=key, value=str(value), nearest=near)
        return default

    def severity(self, value: object, path: Path) -> int | None:
        if value in SEVERITIES:
            return SEVERITIES.index(str(value))
        choices = ", ".join(SEVERITIES)
        self.complain(path, "rules.not_one_of", key=str(path[-1]), value=str(value), nearest=choices)
        return None

    def expression(self, value: object, path: Path, names: Names, want: str) -> Expression | None:
        """Compile an expression; a bare number is one too."""
        if value is None:
            return None
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else self.text(value, path)
        if text is None:
            return None
        key = ("expression", text, id(names), want)
        found: Expression | None = self.shared.get(key)
        if found is None:
            from gulou.hub.rules.expression.compiler import compile_expression  # a third of a second

            found = self.attempt(path, lambda: compile_expression(text, names, want))
            if found is not None:
                self.shared[key] = found
                self.shared["names", id(names)] = names  # kept, so that no other gets its number
        return found

    def day(self, value: object, path: Path) -> str | None:
        """Read a date; as text, since that is what the YAML reader leaves it."""
        if value is None:
            return None
        try:
            return date.fromisoformat(str(value)).isoformat()
        except ValueError:
            self.complain(path, "document.wrong_kind", key=str(path[-1]), expected="a date such as 2026-03-01")
            return None

    def templates(
        self, value: object, path: Path, words: Collection[str], steps: Collection[str] = ()
    ) -> dict[str, Template]:
        """Read texts by language; a plain text is English."""
        texts = {"en": value} if isinstance(value, str) else self.mapping(value, path)
        self.known_keys(texts, ("en", "zh"), path)
        found: dict[str, Template] = {}
        for language in ("en", "zh"):
            here = (*path, language) if not isinstance(value, str) else path
            text = self.text(texts.get(language), here)
            if text is not None:
                template = self._template(text, here, words, steps)
                if template is not None:
                    found[language] = template
        if texts and "en" not in texts:
            self.complain(path, "document.missing_key", key="en")
        return self.shared.setdefault(("texts", *((one, text.text) for one, text in found.items())), found)  # type: ignore[no-any-return]

    def _template(self, text: str, path: Path, words: Collection[str], steps: Collection[str]) -> Template | None:
        key = ("text", text, words if isinstance(words, frozenset) else None)
        if steps or key[2] is None or key not in self.shared:
            template = self.attempt(path, lambda: compile_text(text, words, any_step=steps))
            if steps or key[2] is None or template is None:
                return template
            self.shared[key] = template
        found: Template = self.shared[key]
        return found
