"""Reads ``levels:``, ``when:`` and what goes with them: hysteresis, direction, holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from gulou.hub.rules.expression import Expression, Names
from gulou.hub.rules.format.source import Source
from gulou.hub.rules.model import SEVERITIES, Level
from gulou.kernel.documents import Path

LEVEL_KEYS = ("value", "levels", "direction", "hysteresis", "hold", "clear_hold", "when", "severity", "clear")
_ONE_LEVEL_KEYS = ("at", "when", "clear", "hold", "clear_hold")


class LevelsReader:
    """Reads the levels of one rule.

    Args:
        has_value: the rule has a value even without ``value:`` (an aggregate or a rate).
    """

    def __init__(self, source: Source, data: dict[str, Any], path: Path, names: Names, *, has_value: bool) -> None:
        self._source = source
        self._data = data
        self._path = path
        self._names = names
        self.value: Expression | None = source.expression(data.get("value"), (*path, "value"), names, "num")
        self._has_value = has_value or data.get("value") is not None
        self.below = source.choice(data, "direction", path, ("above", "below"), "above") == "below"
        self._hysteresis = source.number(data.get("hysteresis"), (*path, "hysteresis")) or 0.0
        if self._hysteresis < 0:
            source.complain((*path, "hysteresis"), "rules.negative", key="hysteresis")
        self._hold_us = source.duration(data, "hold", path)
        self._clear_hold_us = source.duration(data, "clear_hold", path)

    def read(self) -> tuple[Level, ...]:
        """Return the levels, mildest first."""
        if self._data.get("levels") is None:
            return self._single()
        for key in ("when", "severity", "clear"):
            if key in self._data:
                self._source.complain((*self._path, key), "rules.levels_and_when", key=key)
        path = (*self._path, "levels")
        raw = self._source.mapping(self._data["levels"], path)
        self._source.known_keys(raw, SEVERITIES, path)
        if not raw:
            self._source.complain(path, "document.missing_key", key="levels")
        found = [
            self._level(index, raw[name], (*path, name))
            for index, name in enumerate(SEVERITIES)
            if raw.get(name) is not None
        ]
        levels = tuple(level for level in found if level is not None)
        self._check_order(levels, path)
        return levels

    def _single(self) -> tuple[Level, ...]:
        condition = self._source.need(self._data, "when", self._path)
        severity = self._source.severity(self._data.get("severity"), (*self._path, "severity"))
        if condition is None or severity is None:
            return ()
        level = self._condition(severity, condition, (*self._path, "when"))
        clear = self._data.get("clear")
        return self._with_clear(level, clear, (*self._path, "clear")) if level else ()

    def _with_clear(self, level: Level, clear: object, path: Path) -> tuple[Level, ...]:
        expression = self._source.expression(clear, path, self._names, "bool")
        return (level if expression is None else replace(level, clear=expression),)

    def _level(self, severity: int, raw: object, path: Path) -> Level | None:
        if isinstance(raw, str):
            return self._condition(severity, raw, path)
        if not isinstance(raw, dict):
            return self._limit(severity, raw, None, path)
        self._source.known_keys(raw, _ONE_LEVEL_KEYS, path)
        if ("at" in raw) == ("when" in raw):
            self._source.complain(path, "rules.at_or_when")
            return None
        level = (
            self._limit(severity, raw["at"], raw.get("clear"), (*path, "at"))
            if "at" in raw
            else self._condition(severity, raw["when"], (*path, "when"))
        )
        if level is None:
            return None
        if "when" in raw:
            level = self._with_clear(level, raw.get("clear"), (*path, "clear"))[0]
        return replace(
            level,
            hold_us=self._source.duration(raw, "hold", path, level.hold_us),
            clear_hold_us=self._source.duration(raw, "clear_hold", path, level.clear_hold_us),
        )

    def _limit(self, severity: int, raw: object, clear: object, path: Path) -> Level | None:
        limit = self._source.number(raw, path)
        if limit is None:
            return None
        if not self._has_value:
            self._source.complain(path, "rules.limit_without_value")
            return None
        way_back = limit + self._hysteresis if self.below else limit - self._hysteresis
        given = self._source.number(clear, (*path[:-1], "clear"))
        if given is not None:
            if given < limit if self.below else given > limit:
                self._source.complain((*path[:-1], "clear"), "rules.clear_beyond_limit", clear=given, limit=limit)
            way_back = given
        return Level(severity, limit, way_back, hold_us=self._hold_us, clear_hold_us=self._clear_hold_us)

    def _condition(self, severity: int, raw: object, path: Path) -> Level | None:
        when = self._source.expression(raw, path, self._names, "bool")
        if when is None:
            return None
        return Level(severity, when=when, hold_us=self._hold_us, clear_hold_us=self._clear_hold_us)

    def _check_order(self, levels: tuple[Level, ...], path: Path) -> None:
        limits = [(level.severity, level.limit) for level in levels if level.limit is not None]
        for (_, milder), (severity, graver) in pairwise(limits):
            if (graver >= milder) if self.below else (graver <= milder):
                name = SEVERITIES[severity]
                self._source.complain(
                    (*path, name), "rules.levels_out_of_order", severity=name, limit=graver, milder=milder
                )
