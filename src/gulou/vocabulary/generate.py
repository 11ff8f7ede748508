"""Writes ``generated.py``: the built-in types as frozen dataclasses, and their names as literals.

Run ``python -m gulou.vocabulary.generate`` after changing ``types/*.yaml``; a test fails while it has not been run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gulou.vocabulary.model import EntityType, PropertyType
from gulou.vocabulary.vocabulary import Vocabulary

TARGET = Path(__file__).with_name("generated.py")

_HEAD = '''# fmt: off
# ruff: noqa: E501, N815
"""The built-in entity types for programs. Generated from ``types/*.yaml``; edit these and run the generator.

Over 600 lines because each property of each type has its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
'''


def generate(vocabulary: Vocabulary) -> str:
    """Return the module's text."""
    types = list(vocabulary.types.values())
    names = ["EntityTypeName", *(item.name for item in types), *(f"{item.name}Property" for item in types)]
    parts = [
        _HEAD,
        "__all__ = [\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]\n",
        _literal("EntityTypeName", [item.name for item in types]),
        *(_literal(f"{item.name}Property", list(item.properties)) for item in types),
    ]
    return "\n".join(parts) + "\n\n" + "\n\n".join(_dataclass(item) for item in types)


def main(arguments: list[str]) -> int:
    """Write the file; with ``--check`` only tell whether it is up to date (exit 1 if not)."""
    text = generate(Vocabulary.load())
    if "--check" in arguments:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        return 0 if current == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


def _literal(name: str, values: list[str]) -> str:
    return f"{name} = Literal[\n" + "".join(f'    "{value}",\n' for value in values) + "]"


def _dataclass(item: EntityType) -> str:
    lines = [
        "@dataclass(frozen=True, kw_only=True)",
        f"class {item.name}:",
        f'    """{item.description["en"]}. Numbers are in the units beside them (UCUM)."""',
        "",
        "    id: str",
    ]
    for property_type in item.properties.values():
        unit = f"  # {property_type.unit}" if property_type.unit else ""
        lines.append(f"    {property_type.name}: {_annotation(property_type)} | None = None{unit}")
    return "\n".join(lines) + "\n"


def _annotation(item: PropertyType) -> str:
    if item.kind == "relation":
        return "str | list[str]"
    if item.kind == "geo":
        return "dict[str, Any]"
    if item.values:
        return "Literal[" + ", ".join(f'"{value}"' for value in item.values) + "]"
    return {"number": "float", "boolean": "bool", "json": "Any", "time": "str"}.get(
        item.data_type, "str | dict[str, str]"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
