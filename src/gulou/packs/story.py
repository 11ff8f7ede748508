"""Stories: a pack's tests. Given → happens → expected, replayed on a virtual clock through the real services.

The format is described in ``packs/README.md``; this module reads it, ``runner.py`` plays it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gulou.kernel.clock import SECOND_US, from_rfc3339
from gulou.kernel.documents import Document, Path, Problem, broken, nearest
from gulou.kernel.errors import Invalid

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_KEYS = {"story", "start", "tick", "given", "steps"}
_STEP_KEYS = {"at", "every", "from", "to", "send", "do", "expect", "note"}
_WARNING = ("rule", "entity", "severity", "active", "acknowledged")
_INCIDENT = ("category", "department", "state", "severity")
_COMMAND = ("device", "name", "state")
_OF_WARNING = ("rule", "entity", "severity", "active", "acknowledged", "note")
EXPECTATIONS: Mapping[str, tuple[str, ...]] = {
    "warning": _WARNING,
    "no_warning": _WARNING,
    "incident": _INCIDENT,
    "no_incident": _INCIDENT,
    "command": _COMMAND,
    "no_command": _COMMAND,
    "value": ("entity", "property", "equals", "tolerance"),
    "rejected": ("code", "count"),
}
"""What may be expected, and by which keys: a mistyped key would match anything."""
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "acknowledge_warning": _OF_WARNING,
    "open_incident": _OF_WARNING,
    "approve": _OF_WARNING,
    "decline": _OF_WARNING,
    "command_acknowledged": (*_COMMAND, "ok"),
    "close_incident": (*_INCIDENT, "result"),
}
"""What people and devices may do, and how it is named."""
_REQUIRED: Mapping[str, tuple[str, ...]] = {"value": ("entity", "property", "equals"), "rejected": ("count",)}
_MOST_MOMENTS = 20_000


class Moment(msgspec.Struct, frozen=True):
    """What happens, or is looked at, at one instant of a story.

    Args:
        at_us: µs since the Unix epoch, UTC.
        send: entity id → property → value in the property's own unit.
        do: actions of people and devices: ``[{"approve": {...}}]``.
        expect: what must be true after everything of this instant has settled.
        line: of the step in the file.
        expect_lines: of each expectation.
    """

    at_us: int
    line: int
    send: dict[str, dict[str, Any]] = {}
    do: tuple[dict[str, dict[str, Any]], ...] = ()
    expect: tuple[dict[str, dict[str, Any]], ...] = ()
    expect_lines: tuple[int, ...] = ()


class Story(msgspec.Struct, frozen=True):
    """One case of a pack, ready to be played.

    Args:
        name: folder name under ``cases/``.
        title: by language.
        tick_us: how often timers run while the clock moves.
    """

    name: str
    title: dict[str, str]
    file: str
    start_us: int
    tick_us: int
    entities: tuple[dict[str, Any], ...]
    devices: tuple[dict[str, Any], ...]
    moments: tuple[Moment, ...]


def read_duration_s(text: object) -> float:
    """Read ``90s``, ``5m``, ``1.5h``; raises Invalid ``story.duration_unreadable``."""
    found = _DURATION.fullmatch(str(text))
    if not found:
        raise Invalid("story.duration_unreadable", value=str(text))
    return float(found[1]) * _UNIT_S[found[2]]


def read_story(text: str, file: str, name: str) -> Story:
    """Read one story; raises Invalid ``document.broken`` with every problem in it."""
    document = Document.parse(text, file)
    reader = _Reader(document)
    story = reader.read(name)
    if reader.problems:
        raise broken(reader.problems)
    return story


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def complain(self, path: Path, code: str, **params: object) -> None:
        self.problems.append(self.document.problem(path, code, **params))

    def read(self, name: str) -> Story:
        data = self.mapping(self.document.data, ())
        self.known(data, _KEYS, ())
        start_us = self.start(data.get("start"))
        tick_us = round(self.seconds(data.get("tick", "1s"), ("tick",)) * SECOND_US) or SECOND_US
        given = self.mapping(data.get("given", {}), ("given",))
        moments: list[Moment] = []
        for index, step in enumerate(self.listing(data.get("steps"), ("steps",))):
            moments.extend(self.step(self.mapping(step, ("steps", index)), ("steps", index), start_us))
        if len(moments) > _MOST_MOMENTS:
            self.complain(("steps",), "story.too_long", limit=_MOST_MOMENTS)
        moments.sort(key=lambda moment: moment.at_us)
        title = data.get("story")
        return Story(
            name=name,
            title=title if isinstance(title, dict) else {"en": str(title or name)},
            file=self.document.file,
            start_us=start_us,
            tick_us=tick_us,
            entities=self.given(given, "entities", ("id", "type")),
            devices=self.given(given, "devices", ("id", "entity")),
            moments=tuple(moments),
        )

    def start(self, value: object) -> int:
        try:
            return from_rfc3339(value.isoformat() if hasattr(value, "isoformat") else str(value))
        except Invalid as error:
            self.complain(("start",), error.code, **error.params)
            return 0

    def given(self, given: dict[str, Any], kind: str, required: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
        found = []
        for index, item in enumerate(self.listing(given.get(kind, []), ("given", kind))):
            path = ("given", kind, index)
            one = self.mapping(item, path)
            self.required(one, required, path)
            found.append(one)
        return tuple(found)

    def sent(self, value: object, path: Path) -> dict[str, dict[str, Any]]:
        send = self.mapping(value, path)
        for entity, properties in send.items():
            for name, wanted in self.mapping(properties, (*path, entity)).items():
                if _is_ramp(wanted) and not all(_is_number(end) for end in wanted.values()):
                    self.complain((*path, entity, name), "document.wrong_kind", key=name, expected="two numbers")
        return send

    def step(self, step: dict[str, Any], path: Path, start_us: int) -> list[Moment]:
        self.known(step, _STEP_KEYS, path)
        do = tuple(self.named(step.get("do", []), (*path, "do"), ACTIONS))
        expect = tuple(self.named(step.get("expect", []), (*path, "expect"), EXPECTATIONS))
        send = self.sent(step.get("send", {}), (*path, "send"))
        line = self.document.position(path)[0]
        lines = tuple(self.document.position((*path, "expect", index))[0] for index in range(len(expect)))
        if "every" not in step:
            at_us = start_us + round(self.seconds(step.get("at"), (*path, "at")) * SECOND_US)
            return [Moment(at_us, line, send, do, expect, lines)]
        every_s = self.seconds(step["every"], (*path, "every"))
        first_s, last_s = (self.seconds(step.get(key), (*path, key)) for key in ("from", "to"))
        if every_s <= 0 or last_s < first_s or (last_s - first_s) / every_s > _MOST_MOMENTS:
            self.complain(path, "story.series_wrong")
            return []
        if self.problems:
            return []
        count = int((last_s - first_s) / every_s + 1e-9)  # 0.3 / 0.1 is a little less than 3
        return [
            Moment(
                start_us + round((first_s + index * every_s) * SECOND_US),
                line,
                _ramp(send, index / count if count else 1.0),
                do,
                expect,
                lines,
            )
            for index in range(count + 1)
        ]

    def seconds(self, value: object, path: Path) -> float:
        try:
            return read_duration_s(value)
        except Invalid as error:
            self.complain(path, error.code, **error.params)
            return 0.0

    def named(self, items: object, path: Path, allowed: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
        result = []
        for index, item in enumerate(self.listing(items, path)):
            one = self.mapping(item, (*path, index))
            self.known(one, allowed, (*path, index))
            for name, keys in one.items():
                if name in allowed:
                    inside = self.mapping(keys, (*path, index, name))
                    self.known(inside, allowed[name], (*path, index, name))
                    self.required(inside, _REQUIRED.get(name, ()), (*path, index, name))
            result.append(one)
        return result

    def known(self, data: dict[str, Any], allowed: Iterable[str], path: Path) -> None:
        for key in data:
            if key not in allowed:
                self.complain((*path, key), "document.unknown_key", key=key, nearest=nearest(key, allowed) or "-")

    def required(self, data: dict[str, Any], keys: Iterable[str], path: Path) -> None:
        for key in keys:
            if key not in data:
                self.complain(path, "document.missing_key", key=key)

    def mapping(self, value: object, path: Path) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.complain(path, "document.wrong_kind", key=str(path[-1]) if path else "story", expected="a mapping")
        return {}

    def listing(self, value: object, path: Path) -> list[Any]:
        if isinstance(value, list):
            return value
        self.complain(path, "document.wrong_kind", key=str(path[-1]), expected="a list")
        return []


def _ramp(send: dict[str, Any], share: float) -> dict[str, dict[str, Any]]:
    """Fill in ``{from: a, to: b}`` values, linearly over the series."""
    return {
        entity: {
            name: round(value["from"] + (value["to"] - value["from"]) * share, 9) if _is_ramp(value) else value
            for name, value in properties.items()
        }
        for entity, properties in send.items()
    }


def _is_ramp(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"from", "to"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
