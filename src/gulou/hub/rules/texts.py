"""Text templates of rules: ``{word}`` and ``{word:.2f}``, nothing else, so that a pack can reach no object's inside."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gulou.kernel.documents import nearest
from gulou.kernel.errors import Invalid

_WORD = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")
_FORMAT = re.compile(r"^[<>^]?\d{0,2},?(\.\d)?[dfeg%s]?$")
_LONGEST = 2_000
_UNKNOWN = "–"


@dataclass(frozen=True)
class Template:
    """A parsed text: literal parts and ``(word, format)`` parts in turn."""

    text: str
    parts: tuple[tuple[str, str | None, str], ...]

    def render(self, words: Mapping[str, Any]) -> str:
        """Fill in the words; what is not known is shown as ``–``."""
        out = []
        for literal, word, spec in self.parts:
            out.append(literal)
            if word is not None:
                out.append(_show(words.get(word), spec))
        return "".join(out)


def compile_text(text: str, known: Collection[str], *, any_step: Collection[str] = ()) -> Template:
    """Parse a template.

    Args:
        known: the words that may stand in it.
        any_step: names of a pattern's steps; ``{step.property}`` is then allowed.

    Raises:
        Invalid: ``rules.text_broken``, ``rules.text_word_unknown``, ``rules.text_format``.
    """
    if len(text) > _LONGEST:
        raise Invalid("rules.text_broken", detail=f"longer than {_LONGEST} characters")
    try:
        raw = list(string.Formatter().parse(text))
    except ValueError as error:
        raise Invalid("rules.text_broken", detail=str(error)) from None
    parts: list[tuple[str, str | None, str]] = []
    for literal, word, spec, conversion in raw:
        if word is not None:
            _check_word(word, conversion, known, any_step)
            if not _FORMAT.match(spec or ""):
                raise Invalid("rules.text_format", format=spec, word=word)
        parts.append((literal, word, spec or ""))
    return Template(text, tuple(parts))


def _check_word(word: str, conversion: str | None, known: Collection[str], steps: Collection[str]) -> None:
    if conversion or not _WORD.match(word):
        raise Invalid("rules.text_broken", detail=f"{{{word}}} is not a plain word")
    if word in known or (word.partition(".")[0] in steps and "." in word):
        return
    raise Invalid("rules.text_word_unknown", word=word, nearest=nearest(word, known) or "-")


def _show(value: Any, spec: str) -> str:
    if value is None:
        return _UNKNOWN
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if spec and numeric:
        return format(int(value) if spec.endswith("d") else value, spec)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
