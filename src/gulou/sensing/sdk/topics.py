"""MQTT topics and filters: validity, matching, named captures; shared by adapters and mappings."""

from __future__ import annotations

import re

_CAPTURE = re.compile(r"\+([A-Za-z_]\w*)")
_LONGEST_BYTES = 65_535
_MOST_LEVELS = 64


def is_topic(text: str) -> bool:
    """Tell whether a name may be published to. Source: MQTT 5.0 §4.7."""
    return bool(text) and "\0" not in text and "+" not in text and "#" not in text and _fits(text)


def is_filter(text: str) -> bool:
    """Tell whether a filter is well formed. Source: MQTT 5.0 §4.7.1."""
    if not text or "\0" in text or not _fits(text):
        return False
    levels = text.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return False
    return all(level == "+" or "+" not in level for level in levels)


def _fits(text: str) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) <= _LONGEST_BYTES and text.count("/") < _MOST_LEVELS


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a valid filter matches a topic; ``$`` topics are only matched by name."""
    return TopicPattern(topic_filter).match(topic) is not None


class TopicPattern:
    """A filter with captures: ``city/+station/air`` matches ``city/s1/air`` and gives ``{"station": "s1"}``.

    Raises:
        ValueError: the filter is not well formed; the caller says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        levels = text.split("/")
        self._names: list[str | None] = []
        plain: list[str] = []
        for level in levels:
            named = _CAPTURE.fullmatch(level)
            self._names.append(named.group(1) if named else None)
            plain.append("+" if named else level)
        self.plain = "/".join(plain)
        if not is_filter(self.plain):
            raise ValueError(f"{text} is no topic filter: + and # stand alone between slashes, # last")
        self._levels = plain

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the captures, or None when the topic does not match."""
        parts = topic.split("/")
        if parts[0].startswith("$") and not self._levels[0].startswith("$"):
            return None
        captures: dict[str, str] = {}
        for index, level in enumerate(self._levels):
            if level == "#":
                return captures
            if index >= len(parts) or (level not in ("+", parts[index])):
                return None
            name = self._names[index]
            if name is not None:
                captures[name] = parts[index]
        return captures if len(parts) == len(self._levels) else None
