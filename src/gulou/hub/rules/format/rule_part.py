"""Reads one rule: the common keys, its texts, commands and incident."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.format.conditions_part import KEYS, ConditionReader
from gulou.hub.rules.format.names import TEXT_WORDS, NameBook
from gulou.hub.rules.format.select_part import WILD, read_selection
from gulou.hub.rules.format.source import Source
from gulou.hub.rules.model import (
    KINDS,
    CommandTemplate,
    Condition,
    Derive,
    IncidentTemplate,
    Pattern,
    Rule,
    Selection,
    Window,
    tables_used,
)
from gulou.hub.rules.texts import Template
from gulou.kernel.documents import Path

_COMMON = (
    *("id", "kind", "select", "category", "headline", "label", "description", "commands", "incident"),
    *("enabled", "max_age", "lateness", "fresh", "expires", "department"),
)
_TELLING = ("label", "headline", "description", "commands", "incident", "department", "category", "enabled")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")
_MOST_COMMANDS = 16
_HOUR_US = 3_600_000_000
_SHARED_KINDS = ("threshold", "rate", "window", "absence")
_UNLABELLED: Mapping[str, str] = MappingProxyType({})
_encoder = msgspec.msgpack.Encoder()
_sorting = msgspec.json.Encoder(order="sorted")
_COMMAND_KEYS = ("target", "name", "parameters", "upon", "at", "approval", "effect")


class RuleReader:
    """Reads one entry of ``rules:``.

    Args:
        files: every file of the pack, for areas.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        pack: str,
        book: NameBook,
        tables: Mapping[str, PointTable],
        files: Mapping[str, str],
    ) -> None:
        self._source = source
        self._path = path
        self._pack = pack
        self._book = book
        self._tables = tables
        self._files = files

    def read(self, raw: object) -> Rule | None:
        """Return the rule, or None after complaining; a complaint without None is possible too.

        Of very many rules most differ in nothing but their name and the entity that they are about: what all else
        says is read once, where it is right.
        """
        said = _without_names(raw)
        if said is None:
            return self._read(raw)
        key = ("rule", said)
        shared: tuple[Rule, list[PointTable]] | None = self._source.shared.get(key)
        if shared is not None:
            return self._like(*shared, raw)  # type: ignore[arg-type]  # _without_names has looked
        before = len(self._source.problems)
        rule = self._read(raw)
        if rule is not None and len(self._source.problems) == before:
            self._source.shared[key] = rule, self._used(rule.condition)
        return rule

    def _used(self, condition: Condition) -> list[PointTable]:
        return [self._tables[name] for name in sorted(tables_used(condition))]

    def _like(self, model: Rule, used: list[PointTable], data: dict[str, Any]) -> Rule:
        """Return a rule that differs from one that was read in its name and entity only."""
        name, entity_id = data["id"], data["select"].get("id")
        select = model.select
        if entity_id is not None:
            select = Selection(select.entity_type, exact_id=entity_id, where=select.where)
        version, state_version = self._versions(data, used)
        return msgspec.structs.replace(
            model,
            id=f"{self._pack}/{name}",
            name=name,
            version=version,
            state_version=state_version,
            select=select,
            source=_encoder.encode(data),
            file=self._source.document.file,
            line=self._source.document.position(self._path)[0],
        )

    def _read(self, raw: object) -> Rule | None:
        source, path = self._source, self._path
        data = source.mapping(raw, path)
        name = source.text(source.need(data, "id", path), (*path, "id")) or ""
        if name and not _NAME.match(name):
            source.complain((*path, "id"), "rules.id_malformed", id=name)
        source.need(data, "kind", path)
        if data.get("kind") not in KINDS:
            source.choice(data, "kind", path, KINDS, "threshold")
            return None
        kind = str(data["kind"])
        source.known_keys(data, (*_COMMON, *KEYS[kind]), path)
        select = self._selection(data, kind)
        if select is None:
            return None
        condition = self._condition(data, kind, select)
        if condition is None:
            return None
        if isinstance(condition, Pattern):
            select = condition.steps[condition.subject].select
        return self._assemble(data, name, kind, select, condition)

    def _condition(self, data: dict[str, Any], kind: str, select: Selection) -> Condition | None:
        """Read what is particular to the kind; rules that say the same share it, since there may be very many."""
        source, key = self._source, None
        if kind in _SHARED_KINDS:
            told = {name: data[name] for name in KEYS[kind] if name in data}
            key = ("condition", kind, select.entity_type, msgspec.msgpack.encode(told, order="sorted"))
            shared: Condition | None = source.shared.get(key)
            if shared is not None:
                return shared
        before = len(source.problems)
        condition = ConditionReader(source, data, self._path, self._book, select, self._files).read(kind)
        if key is not None and condition is not None and len(source.problems) == before:
            source.shared[key] = condition
        return condition

    def _selection(self, data: dict[str, Any], kind: str) -> Selection | None:
        if kind == "pattern":
            if "select" in data:
                self._source.complain((*self._path, "select"), "rules.pattern_select")
            return Selection("")
        return read_selection(
            self._source, self._source.need(data, "select", self._path), (*self._path, "select"), self._book
        )

    def _assemble(self, data: dict[str, Any], name: str, kind: str, select: Selection, condition: Condition) -> Rule:
        source, path = self._source, self._path
        quiet = isinstance(condition, Derive)
        used = self._used(condition)
        for key in () if quiet else ("category", "headline"):
            source.need(data, key, path)
        incident = self._incident(data.get("incident"), (*path, "incident"))
        headline, description = self._texts(data, select, condition)
        department = source.text(data.get("department"), (*path, "department"))
        category = source.text(data.get("category"), (*path, "category")) or ""
        if category and not _NAME.match(category):
            source.complain((*path, "category"), "rules.id_malformed", id=category)
        version, state_version = self._versions(data, used)
        return Rule(
            id=f"{self._pack}/{name}",
            pack=self._pack,
            name=name,
            kind=kind,
            version=version,
            state_version=state_version,
            label={
                language: text.text
                for language, text in source.templates(data.get("label"), (*path, "label"), ()).items()
            }
            if "label" in data
            else _UNLABELLED,
            select=select,
            condition=condition,
            category=category,
            headline=headline,
            description=description,
            commands=self._commands(data.get("commands"), (*path, "commands")),
            incident=incident,
            department=department or (incident.department if incident else None),
            enabled=source.truth(data.get("enabled"), (*path, "enabled"), default=True),
            max_age_us=source.duration(data, "max_age", path, _HOUR_US, zero=False),
            lateness_us=source.duration(data, "lateness", path, _lateness_us(condition)),
            fresh_us=source.duration(data, "fresh", path, 0, zero=False) or None,
            expires_us=source.duration(data, "expires", path, 0, zero=False) or None,
            source=_encoder.encode(data),
            file=source.document.file,
            line=source.document.position(path)[0],
        )

    def _versions(self, data: dict[str, Any], used: list[PointTable]) -> tuple[str, str]:
        """Identify what the rule says, and what it judges by; the tables and the area that it uses are part of it."""
        files, tables = self._files_named(data), repr(used)
        judging = {key: value for key, value in data.items() if key not in _TELLING}
        return _digest([data, files, tables]), _digest([judging, files, tables])

    def _files_named(self, data: Mapping[str, Any]) -> str:
        area = data.get("area")
        return self._files.get(str(area.get("file")), "") if isinstance(area, dict) else ""

    def _texts(
        self, data: dict[str, Any], select: Selection, condition: Condition
    ) -> tuple[dict[str, Template], dict[str, Template]]:
        words = self._book.words(select.entity_type) if select.entity_type else set(TEXT_WORDS)
        steps = [step.name for step in condition.steps] if isinstance(condition, Pattern) else []
        headline = self._source.templates(data.get("headline"), (*self._path, "headline"), words, steps)
        description = self._source.templates(data.get("description"), (*self._path, "description"), words, steps)
        return headline, description

    def _incident(self, raw: object, path: Path) -> IncidentTemplate | None:
        if raw is None:
            return None
        source = self._source
        data = source.mapping(raw, path)
        source.known_keys(data, ("open", "department", "deadline"), path)
        opens = source.severity(source.need(data, "open", path), (*path, "open"))
        deadline_us = source.duration(data, "deadline", path, 0, zero=False)
        department = source.text(data.get("department"), (*path, "department"))
        return IncidentTemplate(opens or 0, department, deadline_us / 1e6 if deadline_us else None)

    def _commands(self, raw: object, path: Path) -> tuple[CommandTemplate, ...]:
        listed = self._source.listing(raw, path, _MOST_COMMANDS)
        read = [self._command(one, (*path, index)) for index, one in enumerate(listed)]
        return tuple(command for command in read if command is not None)

    def _command(self, raw: object, path: Path) -> CommandTemplate | None:
        source = self._source
        data = source.mapping(raw, path)
        source.known_keys(data, _COMMAND_KEYS, path)
        name = source.text(source.need(data, "name", path), (*path, "name"))
        target = self._target(source.need(data, "target", path), (*path, "target"))
        parameters = source.mapping(data.get("parameters"), (*path, "parameters"))
        at = source.severity(data["at"], (*path, "at")) if data.get("at") is not None else 0
        upon = source.choice(data, "upon", path, ("raised", "cleared"), "raised")
        source.need(data, "approval", path)
        approval = source.choice(data, "approval", path, ("person", "none"), "person")
        if name is None or target is None:
            return None
        kind, target_type, relation = target
        effect = self._effect(data.get("effect"), (*path, "effect"))
        return CommandTemplate(kind, target_type, relation, name, parameters, upon, at or 0, approval, effect)  # type: ignore[arg-type]

    def _target(self, raw: object, path: Path) -> tuple[str, str | None, str | None] | None:
        source = self._source
        if raw is None or raw == "this":
            return ("this", None, None) if raw else None
        data = source.mapping(raw, path)
        source.known_keys(data, ("type", "where", "relation"), path)
        if "relation" in data:
            relation = source.text(data["relation"], (*path, "relation"))
            return ("relation", None, relation) if relation else None
        entity_type = source.text(source.need(data, "type", path), (*path, "type"))
        found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*=\s*this\s*", str(data.get("where", "")))
        if not found:
            source.complain((*path, "where"), "rules.target_where")
            return None
        if entity_type is None or not self._book.has_type(entity_type):
            source.complain((*path, "type"), "rules.type_unknown", type=entity_type, nearest="-")
            return None
        if found[1] not in self._book.kinds(entity_type):
            source.complain(
                (*path, "where"), "rules.property_unknown", property=found[1], type=entity_type, nearest="-"
            )
        return "type", entity_type, found[1]

    def _effect(self, raw: object, path: Path) -> dict[str, Any] | None:
        if raw is None:
            return None
        source = self._source
        data = source.mapping(raw, path)
        source.known_keys(data, ("property", "value", "tolerance", "within"), path)
        name = source.text(source.need(data, "property", path), (*path, "property"))
        value = source.need(data, "value", path)
        return {
            "property": name,
            "value": value,
            "tolerance": source.number(data.get("tolerance"), (*path, "tolerance")) or 0.0,
            "within_s": source.duration(data, "within", path, 300_000_000, zero=False) / 1e6,
        }


def _digest(told: list[Any]) -> str:
    return hashlib.blake2b(_sorting.encode(told), digest_size=6).hexdigest()


def _without_names(raw: object) -> bytes | None:
    """Return all that a rule says but its own name and its entity's; None where these are not plain."""
    if not isinstance(raw, dict):
        return None
    name, select = raw.get("id"), raw.get("select")
    if not isinstance(name, str) or not _NAME.match(name) or not isinstance(select, dict):
        return None
    entity_id = select.get("id")
    if entity_id is not None:
        if not isinstance(entity_id, str) or WILD.search(entity_id):
            return None
        select = {**select, "id": ""}
    try:
        return _encoder.encode({**raw, "id": "", "select": select})
    except (OverflowError, RecursionError):  # a whole number beyond 64 bits: the general way says what is wrong
        return None


def _lateness_us(condition: Condition) -> int:
    """Whole windows wait so long for stragglers before they are judged; the others can take a straggler at any time."""
    waits = isinstance(condition, Window) and (condition.tumbling or condition.gap_us > 0)
    return 5_000_000 if waits else 300_000_000
