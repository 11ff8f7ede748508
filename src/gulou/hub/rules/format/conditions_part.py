"""Reads what is particular to each kind of rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape

from gulou.hub.rules.expression import AGGREGATE_NAMES
from gulou.hub.rules.format.levels_part import LevelsReader
from gulou.hub.rules.format.names import NameBook
from gulou.hub.rules.format.select_part import read_selection
from gulou.hub.rules.format.source import Source
from gulou.hub.rules.model import (
    SEVERITIES,
    Absence,
    Condition,
    Derive,
    Geofence,
    Pattern,
    Selection,
    Step,
    Threshold,
    Window,
)
from gulou.kernel.documents import Path, nearest

_LEVELED = ("value", "levels", "direction", "hysteresis", "hold", "clear_hold", "when", "severity", "clear")
KEYS: dict[str, tuple[str, ...]] = {
    "threshold": _LEVELED,
    "rate": ("of", "over", "per", "minimum_span", *_LEVELED),
    "window": ("of", "function", "over", "window", "gap", "minimum", *_LEVELED),
    "absence": ("property", "levels", "expect"),
    "geofence": ("area", "event", "property", "and", "hold", "severity"),
    "pattern": ("steps", "order", "within", "join", "subject", "severity", "clear_after"),
    "derive": ("property", "value", "decimals", "every"),
}
_LONGEST_SESSION_US = 86_400_000_000
_LONGEST_WINDOW_US = 32 * 86_400_000_000
_MOST_STEPS = 8


class ConditionReader:
    """Reads one rule's condition.

    Args:
        files: every file of the pack, for areas.
    """

    def __init__(
        self,
        source: Source,
        data: dict[str, Any],
        path: Path,
        book: NameBook,
        select: Selection,
        files: Mapping[str, str],
    ) -> None:
        self._source = source
        self._data = data
        self._path = path
        self._book = book
        self._type = select.entity_type
        self._files = files

    def read(self, kind: str) -> Condition | None:
        """Return the condition, or None after complaining."""
        readers = {
            "threshold": self._threshold,
            "rate": self._rate,
            "window": self._window,
            "absence": self._absence,
            "geofence": self._geofence,
            "pattern": self._pattern,
            "derive": self._derive,
        }
        return readers[kind]()

    def _property(
        self, key: str, *, wanted: tuple[str, ...] = ("measured", "state"), required: bool = True
    ) -> str | None:
        """Read the name of a property of the selected type whose kind is among ``wanted``."""
        name = self._source.need(self._data, key, self._path) if required else self._data.get(key)
        name = self._source.text(name, (*self._path, key))
        if name is None:
            return None
        kinds = self._book.kinds(self._type)
        if kinds.get(name) not in wanted:
            code = "rules.property_unknown" if name not in kinds else "rules.property_wrong_kind"
            near = nearest(name, [one for one, kind in kinds.items() if kind in wanted]) or "-"
            self._source.complain(
                (*self._path, key), code, property=name, type=self._type, nearest=near, wanted=" or ".join(wanted)
            )
            return None
        return name

    def _over(self, default: int = 0) -> int:
        if not default:
            self._source.need(self._data, "over", self._path)
        over_us = self._source.duration(self._data, "over", self._path, default or 1, zero=False)
        if over_us > _LONGEST_WINDOW_US:
            self._source.complain((*self._path, "over"), "rules.window_too_long", limit="32d")
        return over_us

    def _threshold(self) -> Condition:
        levels = LevelsReader(self._source, self._data, self._path, self._book.of_type(self._type), has_value=False)
        return Threshold(levels.value, levels.read(), levels.below)

    def _rate(self) -> Condition:
        over_us = self._over()
        per_us = self._source.duration(self._data, "per", self._path, 0, zero=False)
        if not per_us:
            self._source.need(self._data, "per", self._path)
        names = self._book.of_type(self._type, this=True)
        levels = LevelsReader(self._source, self._data, self._path, names, has_value=True)
        return Threshold(
            value=levels.value,
            levels=levels.read(),
            below=levels.below,
            of=self._property("of"),
            over_us=over_us,
            per_us=per_us,
            minimum_span_us=self._source.duration(self._data, "minimum_span", self._path, over_us // 2),
        )

    def _window(self) -> Condition:
        kinds = ("sliding", "tumbling", "session")
        kind = self._source.choice(self._data, "window", self._path, kinds, "sliding")
        over_us = self._over(_LONGEST_SESSION_US if kind == "session" else 0)
        names = self._book.of_type(self._type, this=True)
        levels = LevelsReader(self._source, self._data, self._path, names, has_value=True)
        return Window(
            of=self._property("of") or "",
            function=self._source.choice(self._data, "function", self._path, AGGREGATE_NAMES, "mean"),
            over_us=over_us,
            tumbling=kind == "tumbling",
            minimum=self._source.whole(self._data.get("minimum"), (*self._path, "minimum"), 1, 100_000) or 1,
            value=levels.value,
            levels=levels.read(),
            below=levels.below,
            gap_us=self._gap(kind),
        )

    def _gap(self, kind: str) -> int:
        """Read how long a silence ends a session."""
        if kind != "session":
            if "gap" in self._data:
                self._source.complain((*self._path, "gap"), "rules.gap_without_session")
            return 0
        self._source.need(self._data, "gap", self._path)
        return self._source.duration(self._data, "gap", self._path, 1, zero=False) or 1

    def _absence(self) -> Condition:
        path = (*self._path, "levels")
        raw = self._source.mapping(self._source.need(self._data, "levels", self._path), path)
        self._source.known_keys(raw, SEVERITIES, path)
        levels = [
            (index, self._source.duration(raw, name, path, zero=False))
            for index, name in enumerate(SEVERITIES)
            if raw.get(name) is not None
        ]
        for (_, shorter), (severity, longer) in pairwise(levels):
            if longer <= shorter:
                name = SEVERITIES[severity]
                self._source.complain(
                    (*path, name), "rules.levels_out_of_order", severity=name, limit=raw[name], milder="-"
                )
        heard = self._property("property", wanted=("measured", "state", "geo", "text", "enum"), required=False)
        expect = self._source.choice(self._data, "expect", self._path, ("seen", "known"), "seen")
        return Absence(heard, tuple(levels), expect == "known")

    def _geofence(self) -> Condition | None:
        events = ("enter", "leave", "inside", "outside")
        self._source.need(self._data, "event", self._path)
        event = self._source.choice(self._data, "event", self._path, events, "inside")
        severity = self._source.severity(self._data.get("severity"), (*self._path, "severity"))
        also = self._source.expression(
            self._data.get("and"), (*self._path, "and"), self._book.of_type(self._type), "bool"
        )
        area, entity = self._area()
        name = self._source.text(self._data.get("property", "location"), (*self._path, "property"))
        if severity is None or name is None:
            return None
        hold_us = self._source.duration(self._data, "hold", self._path)
        return Geofence(event, severity, name, area, entity, also, hold_us)  # type: ignore[arg-type]  # choice() checked it

    def _area(self) -> tuple[dict[str, Any] | None, str | None]:
        path = (*self._path, "area")
        data = self._source.mapping(self._source.need(self._data, "area", self._path), path)
        self._source.known_keys(data, ("file", "polygon", "entity"), path)
        if len(data) != 1:
            self._source.complain(path, "rules.area_one_of")
            return None, None
        if "entity" in data:
            return None, self._source.text(data["entity"], (*path, "entity"))
        if "polygon" in data:
            return self._polygon(self._source.mapping(data["polygon"], (*path, "polygon")), (*path, "polygon")), None
        name = self._source.text(data["file"], (*path, "file")) or ""
        if name not in self._files:
            near = nearest(name, self._files) or "-"
            self._source.complain((*path, "file"), "rules.file_unknown", file=name, nearest=near)
            return None, None
        try:
            return self._polygon(json.loads(self._files[name]), (*path, "file")), None
        except (ValueError, RecursionError) as error:
            self._source.complain((*path, "file"), "rules.area_broken", detail=str(error)[:200])
            return None, None

    def _polygon(self, raw: Any, path: Path) -> dict[str, Any] | None:
        """Take a Polygon or MultiPolygon, also as the only feature of a file."""
        if isinstance(raw, dict) and raw.get("type") == "FeatureCollection" and len(raw.get("features", [])) == 1:
            raw = raw["features"][0]
        if isinstance(raw, dict) and raw.get("type") == "Feature":
            raw = raw.get("geometry")
        detail = "a GeoJSON Polygon or MultiPolygon is wanted"
        try:
            if isinstance(raw, dict) and raw.get("type") in ("Polygon", "MultiPolygon"):
                form = shape(raw)
                west, south, east, north = form.bounds
                if form.is_valid and not form.is_empty and -180 <= west <= east <= 180 and -90 <= south <= north <= 90:
                    return raw
                detail = "it is empty, crosses itself or is not in degrees (longitude, latitude)"
        except (ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            detail = str(error)[:200]
        self._source.complain(path, "rules.area_broken", detail=detail)
        return None

    def _pattern(self) -> Condition | None:
        path = (*self._path, "steps")
        raw = self._source.listing(self._source.need(self._data, "steps", self._path), path, _MOST_STEPS)
        read = [self._step(one, (*path, index)) for index, one in enumerate(raw)]
        steps = tuple(step for step in read if step is not None)
        if len(steps) < len(raw):
            return None
        names = [step.name for step in steps]
        if len(steps) < 2 or len(set(names)) < len(names):
            self._source.complain(path, "rules.steps_wrong")
            return None
        within_us = self._source.duration(self._data, "within", self._path, 0, zero=False)
        if not within_us:
            self._source.need(self._data, "within", self._path)
        severity = self._source.severity(self._data.get("severity"), (*self._path, "severity"))
        subject = self._source.choice(self._data, "subject", self._path, names, names[-1])
        return Pattern(
            steps=steps,
            in_order=self._source.choice(self._data, "order", self._path, ("sequence", "any"), "sequence")
            == "sequence",
            within_us=within_us,
            join=self._join(steps),
            subject=names.index(subject),
            severity=severity or 0,
            clear_after_us=self._source.duration(self._data, "clear_after", self._path, within_us, zero=False),
        )

    def _join(self, steps: tuple[Step, ...]) -> str | None:
        join = self._source.text(self._data.get("join"), (*self._path, "join"))
        for step in steps if join not in (None, "this") else ():
            kinds = self._book.kinds(step.select.entity_type)
            if join not in kinds:
                near = nearest(str(join), kinds) or "-"
                owner = step.select.entity_type
                self._source.complain(
                    (*self._path, "join"), "rules.property_unknown", property=join, type=owner, nearest=near
                )
        return join

    def _step(self, raw: object, path: Path) -> Step | None:
        data = self._source.mapping(raw, path)
        self._source.known_keys(data, ("name", "type", "id", "where", "when"), path)
        name = self._source.text(self._source.need(data, "name", path), (*path, "name"))
        select = read_selection(
            self._source, {key: data[key] for key in ("type", "id", "where") if key in data}, path, self._book
        )
        if select is None or name is None:
            return None
        names = self._book.of_type(select.entity_type)
        when = self._source.expression(self._source.need(data, "when", path), (*path, "when"), names, "bool")
        if not name.isidentifier():
            self._source.complain((*path, "name"), "rules.id_malformed", id=name)
        return None if when is None else Step(name, select, when)

    def _derive(self) -> Condition | None:
        name = self._property("property", wanted=("measured",))
        names = self._book.of_type(self._type)
        value = self._source.expression(
            self._source.need(self._data, "value", self._path), (*self._path, "value"), names, "num"
        )
        if name is None or value is None:
            return None
        if name in value.inputs:
            self._source.complain((*self._path, "value"), "rules.derive_cycle", circle=f"{name} → {name}")
        decimals = self._source.whole(self._data.get("decimals"), (*self._path, "decimals"), 0, 12)
        return Derive(name, value, decimals, self._source.duration(self._data, "every", self._path))
