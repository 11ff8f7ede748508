"""Plays a story and says what was not as expected."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.connectivity.commands import Command, CommandQuery
from gulou.connectivity.devices import Binding, Device
from gulou.connectivity.intake import Payload, Reading, RejectQuery, Submission
from gulou.kernel.errors import GulouError
from gulou.kernel.ids import parse_entity_id
from gulou.kernel.messages import render
from gulou.operations.incidents import (
    Incident,
    IncidentFilter,
    Warning,  # noqa: A004  # 预警: the word of the field
    WarningFilter,
)
from gulou.packs.model import Pack
from gulou.packs.stage import Stage
from gulou.packs.story import Moment, Story

_ADAPTER = "story"
_OFFICER = Principal.system("story")
_MOST = 500


def play(story: Story, pack: Pack, build_stage: Callable[[Pack, int], Stage]) -> list[str]:
    """Play one story; return one sentence for each expectation that failed, none when all held."""
    stage = build_stage(pack, story.start_us)
    try:
        return _Player(story, stage).play()
    finally:
        stage.close()


class _AlwaysReachable:
    """The far end of a story's devices: takes every command; the story says what it answers."""

    def send(self, command: Command) -> bool:
        return True


class _Player:
    def __init__(self, story: Story, stage: Stage) -> None:
        self.story = story
        self.stage = stage
        self.failures: list[str] = []

    def play(self) -> list[str]:
        self.stage.commands.register_sender(_ADAPTER, _AlwaysReachable())
        self._attempt(0, self._set_up)
        for moment in self.story.moments:
            self.stage.advance_to(moment.at_us, self.story.tick_us)
            self._attempt(moment.line, lambda moment=moment: self._happen(moment))  # type: ignore[misc]
        return self.failures

    def _attempt(self, line: int, what: Callable[[], None]) -> None:
        try:
            what()
        except GulouError as error:
            self._fail(line, render(error.code, error.params, "en"))

    def _fail(self, line: int, sentence: str) -> None:
        self.failures.append(f"{self.story.file}:{line}: {sentence}")

    def _set_up(self) -> None:
        for entity in self.story.entities:
            self.stage.context.upsert_entity(to_document(entity), _OFFICER)
        for given in self.story.devices:
            measured = str(given["entity"])
            binding = Binding(measured, parse_entity_id(measured)[0])
            device = Device(
                id=str(given["id"]),
                name=str(given.get("name", given["id"])),
                adapter=_ADAPTER,
                kind=str(given.get("kind", "sensor")),
                bindings=(binding,),
            )
            self.stage.devices.create(device, _OFFICER)

    def _happen(self, moment: Moment) -> None:
        if moment.send:
            readings = tuple(
                Reading(entity, parse_entity_id(entity)[0], name, value, moment.at_us)
                for entity, properties in moment.send.items()
                for name, value in properties.items()
            )
            raw = json.dumps(moment.send).encode()
            payload = Payload(raw, f"{self.story.file}:{moment.line}", readings)
            self.stage.intake.submit(Submission("story", "story/1", (payload,))).result(30)
        self.stage.settle()
        for action in moment.do:
            for name, given in action.items():
                self._do(name, given)
            self.stage.settle()
        for line, expectation in zip(moment.expect_lines, moment.expect, strict=True):
            for name, wanted in expectation.items():
                self._expect(line, name, wanted)

    # what people and devices do

    def _do(self, name: str, given: Mapping[str, Any]) -> None:
        stage = self.stage
        if name == "command_acknowledged":
            for command in self._commands(given, ("sent",)):
                stage.commands.acknowledge(command.id, bool(given.get("ok", True)), None, stage.clock.now_us())
        elif name == "close_incident":
            for incident in self._incidents(given):
                if incident.state != "closed":
                    stage.incidents.close(incident.id, str(given.get("result", "done")), _OFFICER)
        else:
            for warning in self._warnings(given):
                self._do_to_warning(name, warning, given)

    def _do_to_warning(self, name: str, warning: Warning, given: Mapping[str, Any]) -> None:
        warnings = self.stage.warnings
        if name == "acknowledge_warning":
            warnings.acknowledge(warning.id, _OFFICER, str(given.get("note", "")) or None)
        elif name == "open_incident":
            warnings.open_incident(warning.id, _OFFICER)
        else:
            decide = warnings.approve if name == "approve" else warnings.decline
            for action in warning.actions:
                if action.state == "proposed":
                    decide(warning.id, action.n, _OFFICER)

    # what must be true

    def _expect(self, line: int, name: str, wanted: Mapping[str, Any]) -> None:
        if name == "value":
            self._expect_value(line, wanted)
            return
        if name == "rejected":
            rejected = self.stage.rejects.list_rejected(RejectQuery(code=wanted.get("code"))).total
            if rejected != wanted.get("count"):
                self._fail(line, f"expected {json.dumps(dict(wanted))} rejected readings, there are {rejected}")
            return
        finders: dict[str, Callable[[Mapping[str, Any]], Sequence[Any]]] = {
            "warning": self._warnings,
            "incident": self._incidents,
            "command": self._commands,
        }
        find = finders[name.removeprefix("no_")]
        if bool(find(wanted)) == name.startswith("no_"):
            shown = "; ".join(_brief(one) for one in find({})) or "none"
            self._fail(line, f"expected {name} {json.dumps(dict(wanted))}; there is: {shown}")

    def _expect_value(self, line: int, wanted: Mapping[str, Any]) -> None:
        attributes = self.stage.context.attributes(str(wanted["entity"])) or {}
        value = attributes.get(str(wanted["property"]))
        expected, tolerance = wanted.get("equals"), float(wanted.get("tolerance", 0))
        if isinstance(value, int | float) and isinstance(expected, int | float):
            as_expected = abs(value - expected) <= tolerance
        else:
            as_expected = value == expected
        if not as_expected:
            self._fail(line, f"expected {wanted['entity']} {wanted['property']} = {expected}, it is {value}")

    def _warnings(self, wanted: Mapping[str, Any]) -> list[Warning]:
        page = self.stage.warnings.list(WarningFilter(), _OFFICER, limit=_MOST)
        return [
            one
            for one in page.items
            if _equal(wanted, "severity", one.severity)
            and _equal(wanted, "acknowledged", one.acknowledged)
            and _equal(wanted, "active", one.state == "active")
            and fnmatch.fnmatchcase(one.rule_id, str(wanted.get("rule", "*")))
            and fnmatch.fnmatchcase(one.entity_id, str(wanted.get("entity", "*")))
        ]

    def _incidents(self, wanted: Mapping[str, Any]) -> list[Incident]:
        page = self.stage.incidents.list(IncidentFilter(), _OFFICER, limit=_MOST)
        return [
            one
            for one in page.items
            if _equal(wanted, "category", one.kind)
            and _equal(wanted, "department", one.department)
            and _equal(wanted, "state", one.state)
            and _equal(wanted, "severity", one.severity)
        ]

    def _commands(self, wanted: Mapping[str, Any], states: tuple[str, ...] = ()) -> list[Command]:
        page = self.stage.commands.list_commands(CommandQuery(device_id=wanted.get("device"), limit=_MOST))
        return [
            one
            for one in page.items
            if _equal(wanted, "name", one.name)
            and _equal(wanted, "state", one.state)
            and (not states or one.state in states)
        ]


def to_document(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a story's short form of an entity into NGSI-LD: ``{en, zh}`` texts become language properties, URNs
    relationships, GeoJSON geo-properties, everything else properties; what is an attribute already stays.

    Source: ETSI GS CIM 009 V1.8.1 §4.5
    """
    return {key: value if key in ("id", "type", "@context") else _attribute(value) for key, value in entity.items()}


def _attribute(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("type") in {"Property", "GeoProperty", "Relationship", "LanguageProperty"}:
            return value
        if "coordinates" in value:
            return {"type": "GeoProperty", "value": value}
        if value and all(len(str(key)) in (2, 5) and isinstance(text, str) for key, text in value.items()):
            return {"type": "LanguageProperty", "languageMap": value}
    if isinstance(value, str) and value.startswith("urn:ngsi-ld:"):
        return {"type": "Relationship", "object": value}
    return {"type": "Property", "value": value}


def _equal(wanted: Mapping[str, Any], key: str, value: object) -> bool:
    return key not in wanted or wanted[key] == value


def _brief(thing: Any) -> str:
    data = msgspec.to_builtins(thing)
    keys = ("rule_id", "entity_id", "severity", "state", "acknowledged", "kind", "department", "device_id", "name")
    return " ".join(f"{key}={data[key]}" for key in keys if key in data)
