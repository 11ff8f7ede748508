"""Settings: one frozen pydantic class per component; defaults < ``city.toml`` < environment.

A component declares ``class IntakeSettings(Settings)`` with ``setting(default, unit=…, description=…)`` for each field,
and the composition root calls ``load_settings(IntakeSettings, "intake", file, os.environ)``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import PydanticUndefined

from gulou.kernel.errors import Invalid

PREFIX = "GULOU_"


class Settings(BaseModel):
    """Base of every settings class: frozen, and it refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


S = TypeVar("S", bound=BaseModel)


def setting(default: Any = ..., *, description: str, unit: str = "", **limits: Any) -> Any:
    """Declare a field with its description, its unit (empty where none fits) and limits (``ge``, ``le``)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


@dataclass(frozen=True)
class SettingDescription:
    """One line of the settings reference.

    Args:
        default: as it is written in TOML; empty for a field that must be given.
    """

    name: str
    type: str
    default: str
    unit: str
    description: str
    variable: str


def load_settings(cls: type[S], section: str, file: Path | None, env: Mapping[str, str]) -> S:
    """Build a component's settings from its defaults, ``[section]`` of ``file``, and ``GULOU_<SECTION>_<FIELD>``.

    Args:
        file: may be None or absent: then the defaults stand.

    Raises:
        Invalid: ``settings.unknown_key``, ``settings.bad_value``, ``settings.unreadable``.
    """
    table = read_sections(file).get(section, {})
    if not isinstance(table, dict):
        raise Invalid("settings.not_a_section", file=str(file), section=section)
    for key in table:
        if key not in cls.model_fields:
            raise _unknown_key(f"{file}:{_line_of(file, section, key)}", f"{section}.{key}", key, cls.model_fields)
    values = dict(table)
    for name, field in cls.model_fields.items():
        text = env.get(variable_name(section, name))
        if text is not None:
            values[name] = _from_text(text, field.annotation)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else section
        variable = variable_name(section, name)
        where = (
            variable if variable in env else f"{file}:{_line_of(file, section, name)}" if name in table else "default"
        )
        raise Invalid("settings.bad_value", where=where, key=f"{section}.{name}", problem=first["msg"]) from error


def check_names(
    known: Mapping[str, type[BaseModel]], file: Path | None, env: Mapping[str, str], other_variables: Iterable[str] = ()
) -> None:
    """Refuse sections of ``file`` and ``GULOU_…`` variables that no component knows; called once at start.

    Raises:
        Invalid: ``settings.unknown_section`` or ``settings.unknown_key``, each naming the nearest that exists.
    """
    for section in read_sections(file):
        if section not in known:
            raise Invalid(
                "settings.unknown_section", file=str(file), section=section, nearest=_nearest(section, sorted(known))
            )
    variables = {variable_name(section, name) for section, cls in known.items() for name in cls.model_fields}
    variables.update(other_variables)
    for variable in env:
        if variable.startswith(PREFIX) and variable not in variables:
            raise _unknown_key("environment", variable, variable, variables)


def read_sections(file: Path | None) -> dict[str, Any]:
    """Read a settings file; an absent one is empty."""
    if file is None or not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Invalid("settings.unreadable", file=str(file), problem=str(error)) from error


def variable_name(section: str, field: str) -> str:
    """Return the environment variable that sets a field."""
    return f"{PREFIX}{section}_{field}".upper().replace("-", "_").replace(".", "_")


def describe(cls: type[BaseModel], section: str) -> list[SettingDescription]:
    """Describe every field, in order, for the sample file and the reference page."""
    lines = []
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        lines.append(
            SettingDescription(
                name=name,
                type=_type_name(field.annotation),
                default=_to_toml(field.get_default(call_default_factory=True)),
                unit=str(extra.get("unit", "")),
                description=field.description or "",
                variable=variable_name(section, name),
            )
        )
    return lines


def find_undescribed(cls: type[BaseModel]) -> list[str]:
    """List fields without a description, and numbers without a unit (``1`` for a count), for a structure test."""
    lacking = []
    for line, field in zip(describe(cls, "x"), cls.model_fields.values(), strict=True):
        if not line.description or (field.annotation in {int, float} and not line.unit):
            lacking.append(f"{cls.__name__}.{line.name}")
    return lacking


def sample_file(known: Mapping[str, type[BaseModel]]) -> str:
    """Write a ``city.toml`` that holds every setting, commented out, at its default."""
    parts = ["# Every setting at its default. Remove the # before a line to change it.\n"]
    for section, cls in known.items():
        parts.append(f"\n[{section}]\n")
        for line in describe(cls, section):
            unit = f" [{line.unit}]" if line.unit else ""
            parts.append(f"# {line.description}{unit} ({line.variable})\n# {line.name} = {line.default}\n")
    return "".join(parts)


def _unknown_key(where: str, key: str, name: str, known: Iterable[str]) -> Invalid:
    return Invalid("settings.unknown_key", where=where, key=key, nearest=_nearest(name, sorted(known)))


def _nearest(name: str, known: list[str]) -> str:
    return (get_close_matches(name, known, n=1, cutoff=0.0) or [""])[0]


def _from_text(text: str, annotation: Any) -> Any:
    """Read an environment variable; a list is JSON or separated by commas."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if get_origin(annotation) in {list, tuple, set, frozenset}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _line_of(file: Path | None, section: str, key: str) -> int:
    """Find the line of a key; the TOML reader does not tell. 1 if it is written in an unusual way."""
    current = ""
    text = file.read_text(encoding="utf-8") if file is not None else ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            current = header[1].strip()
        elif current == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 1


def _type_name(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and get_origin(annotation) is None else str(annotation)
    return text.replace("typing.", "").replace("pathlib.", "").replace("NoneType", "None")


def _to_toml(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(_to_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_to_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)
