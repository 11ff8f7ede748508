"""The message catalogue: code → language → sentence with ``{named}`` places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

import yaml

LANGUAGES = ("en", "zh")
MAX_SHOWN = 200
"""A parameter longer than this many characters is cut, so that a message stays a sentence."""

_PLACE = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")


class Catalogue:
    """An immutable set of texts.

    Args:
        texts: code → language → sentence; ``{name}`` stands for the parameter ``name``, and nothing else is special.
    """

    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = {code: dict(by_language) for code, by_language in texts.items()}

    def __contains__(self, code: object) -> bool:
        return code in self._texts

    @property
    def codes(self) -> list[str]:
        """Every code that has a text, sorted."""
        return sorted(self._texts)

    def find_text(self, code: str, language: str) -> str | None:
        """Return the sentence with its places unfilled, exactly in ``language``."""
        return self._texts.get(code, {}).get(language)

    def places(self, code: str) -> set[str]:
        """Return the names of all parameters that any language's sentence shows."""
        return {name for text in self._texts.get(code, {}).values() for name in _PLACE.findall(text)}

    def missing_languages(self) -> list[tuple[str, str]]:
        """List each (code, language) without a sentence."""
        return [
            (code, language) for code in self.codes for language in LANGUAGES if not self._texts[code].get(language)
        ]

    def render(self, code: str, params: Mapping[str, object] | None = None, language: str = "en") -> str:
        """Fill in the sentence of ``code``; falls back to English, then to the bare code. Never raises."""
        by_language = self._texts.get(code, {})
        text = by_language.get(language.replace("_", "-").split("-")[0].lower()) or by_language.get("en")
        if text is None:
            return code
        values = params or {}
        return _PLACE.sub(lambda place: _show(values[place[1]]) if place[1] in values else place[0], text)


def _show(value: object) -> str:
    listed = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    text = ", ".join(str(item) for item in listed)
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


@cache
def load_catalogue() -> Catalogue:
    """Read every area file of this package; once per process, at the first message."""
    texts: dict[str, Mapping[str, str]] = {}
    for content in _area_files().values():
        texts.update(content)
    return Catalogue(texts)


def misplaced_codes() -> list[str]:
    """List ``file: code`` for codes that stand in another area's file, or twice; for a structure test."""
    seen: set[str] = set()
    wrong: list[str] = []
    for area, content in _area_files().items():
        wrong += [f"{area}.yaml: {code}" for code in content if not code.startswith(f"{area}.") or code in seen]
        seen.update(content)
    return wrong


def _area_files() -> dict[str, Mapping[str, Mapping[str, str]]]:
    files = sorted(resources.files(__package__).iterdir(), key=lambda item: item.name)
    return {
        entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text(encoding="utf-8")) or {}
        for entry in files
        if entry.name.endswith(".yaml")
    }


def render(code: str, params: Mapping[str, object] | None = None, language: str = "en") -> str:
    """Return the sentence for a code in a person's language (``zh-CN`` means ``zh``); the code itself if unknown."""
    return load_catalogue().render(code, params, language)
