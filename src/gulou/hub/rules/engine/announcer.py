"""Puts a finding into words: texts, values, place, commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gulou.hub.rules.durations import write_duration
from gulou.hub.rules.engine.state import Occurrence, State
from gulou.hub.rules.events import Detection, ProposedCommand
from gulou.hub.rules.model import SEVERITIES, Absence, CommandTemplate, Pattern, Rule, Threshold, Window
from gulou.hub.rules.ports import DeviceFinder, Surroundings
from gulou.hub.rules.texts import Template

_SEVERITY_NAMES = {
    "en": ("blue", "yellow", "orange", "red"),
    "zh": ("蓝色", "黄色", "橙色", "红色"),
}
_MOST_TARGETS = 16


class Announcer:
    """Makes detections.

    Args:
        devices: finds the device that drives an entity; None: no commands are made (a trial).
    """

    def __init__(self, surroundings: Surroundings, devices: DeviceFinder | None) -> None:
        self._surroundings = surroundings
        self._devices = devices

    def detection(
        self,
        rule: Rule,
        state: State,
        occurrence: Occurrence,
        change: str,
        at_us: int,
        now_us: int,
        value: float | None,
    ) -> Detection:
        """Describe one change of one occurrence; marks the commands that go out with it."""
        attributes = self._surroundings.attributes(occurrence.entity_id) or {}
        values = {name: one.value for name, one in state.inputs.items() if not isinstance(one.value, dict)}
        if value is not None:
            values["value"] = value
        incident = rule.incident
        words = self._words(rule, state, occurrence, at_us, attributes, values)
        entity_type = _subject_type(rule, occurrence)
        return Detection(
            at_us=now_us,
            id=occurrence.id,
            state=change,
            rule_id=rule.id,
            rule_version=rule.version,
            entity_id=occurrence.entity_id,
            entity_type=entity_type,
            severity=SEVERITIES[occurrence.severity],
            category=rule.category,
            headline=_render(rule.headline, words, attributes, occurrence),
            description=_render(rule.description, words, attributes, occurrence),
            raised_at_us=occurrence.raised_at_us,
            n=occurrence.changes,
            values=values,
            location=_location(state, attributes),
            commands=tuple(self._commands(rule, occurrence, change, attributes)),
            opens_incident=incident is not None and change != "cleared" and occurrence.severity >= incident.open,
            department=rule.department,
            deadline_s=incident.deadline_s if incident is not None else None,
        )

    def _words(
        self,
        rule: Rule,
        state: State,
        occurrence: Occurrence,
        at_us: int,
        attributes: Mapping[str, Any],
        values: Mapping[str, Any],
    ) -> dict[str, Any]:
        words = {**attributes, **values}
        words["id"] = occurrence.entity_id.split(":", 3)[-1]
        words["type"] = _subject_type(rule, occurrence)
        words["limit"] = _limit(rule, occurrence.severity)
        if isinstance(rule.condition, Absence):
            words["duration"] = write_duration(max(0, at_us - state.newest_us) // 1_000_000 * 1_000_000)
        return words

    def _commands(
        self, rule: Rule, occurrence: Occurrence, change: str, attributes: Mapping[str, Any]
    ) -> Iterator[ProposedCommand]:
        if self._devices is None:
            return
        for index, template in enumerate(rule.commands):
            if template.upon == "cleared":
                wanted = change == "cleared" and occurrence.peak >= template.at
            else:
                wanted = (
                    change != "cleared" and occurrence.severity >= template.at and index not in occurrence.commanded
                )
            if not wanted:
                continue
            occurrence.commanded.append(index)
            for target in self._targets(template, occurrence.entity_id, attributes):
                command = self._command(template, target)
                if command is not None:
                    yield command

    def _targets(self, template: CommandTemplate, entity_id: str, attributes: Mapping[str, Any]) -> list[str]:
        if template.target == "this":
            return [entity_id]
        if template.target == "relation":
            found = attributes.get(template.relation or "")
            listed = found if isinstance(found, list) else [found]
            return [str(one) for one in listed if one][:_MOST_TARGETS]
        related = self._surroundings.related_to(entity_id, template.target_type or "", template.relation or "")
        return sorted(related)[:_MOST_TARGETS]

    def _command(self, template: CommandTemplate, target: str) -> ProposedCommand | None:
        assert self._devices is not None
        effect = template.effect
        device_id = self._devices.device_of(target, effect["property"] if effect else None)
        if device_id is None:
            return None
        told = None if effect is None else {"entity_id": target, **effect}
        return ProposedCommand(device_id, template.name, dict(template.parameters), template.approval, told)


def _subject_type(rule: Rule, occurrence: Occurrence) -> str:
    if isinstance(rule.condition, Pattern):
        return rule.condition.steps[rule.condition.subject].select.entity_type
    return rule.select.entity_type


def _limit(rule: Rule, severity: int) -> Any:
    condition = rule.condition
    if isinstance(condition, Threshold | Window):
        return next((level.limit for level in condition.levels if level.severity == severity), None)
    if isinstance(condition, Absence):
        return next((write_duration(silence) for level, silence in condition.levels if level == severity), None)
    return None


def _location(state: State, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    known = state.inputs.get("location")
    found = known.value if known is not None else attributes.get("location")
    return found if isinstance(found, dict) and "type" in found else None


def _render(
    templates: Mapping[str, Template], words: Mapping[str, Any], attributes: Mapping[str, Any], occurrence: Occurrence
) -> dict[str, str]:
    texts = {}
    for language, template in templates.items():
        spoken = {key: _in_language(value, language) for key, value in words.items()}
        spoken["name"] = _in_language(attributes.get("name"), language) or words["id"]
        spoken["severity"] = _SEVERITY_NAMES[language][occurrence.severity]
        texts[language] = template.render(spoken)
    return texts


def _in_language(value: Any, language: str) -> Any:
    """Choose the language of a language property; anything else stays as it is."""
    if isinstance(value, dict):
        return (
            value.get(language)
            or value.get("en")
            or next((one for one in value.values() if isinstance(one, str)), None)
        )
    return value
