"""The vocabulary: which types and properties there are, and whether a value may stand in one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gulou.kernel.errors import Invalid, NotFound
from gulou.vocabulary.checks import Check, compile_check, linear_of, number_limits
from gulou.vocabulary.loading import TypeFile, nearest, read_shared_properties, read_type_file
from gulou.vocabulary.model import EntityType, PropertyType
from gulou.vocabulary.schema import to_json_schema

BUILT_IN = "gulou"
SHARED_FILE = "_shared.yaml"
MAX_CHECKS = 20_000
"""Compiled checks kept: a sender can invent units without end (``m{a}``, ``m{b}``), memory can't."""
MAX_FILES = 1_000
MAX_REFUSALS = 2_000
"""Unknown names and units remembered: finding the nearest known name for each reading anew would be slow."""


class Vocabulary:
    """The entity types of the city, built in and from packs.

    Reading is safe from any thread. ``extend`` and ``remove`` replace the whole at once: whoever reads sees the old
    vocabulary or the new one, never half of it.
    """

    def __init__(self, shared: Mapping[str, PropertyType], files: Iterable[TypeFile]) -> None:
        self._lock = threading.Lock()
        self._shared = dict(shared)
        self._files = list(files)
        self._types: Mapping[str, EntityType] = MappingProxyType(_assemble(self._shared, self._files))
        self._checks: dict[tuple[str, str, str | None], Check] = {}
        self._refusals: dict[tuple[str, str, str | None], Invalid] = {}
        self._generation = 0

    @classmethod
    def load(cls, extra_dirs: Iterable[Path] = ()) -> Vocabulary:
        """Read the built-in types, then those of further directories (each owned by its directory's name)."""
        folder = resources.files(__package__) / "types"
        shared = read_shared_properties((folder / SHARED_FILE).read_text(encoding="utf-8"), SHARED_FILE)
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        files = [
            read_type_file(entry.read_text(encoding="utf-8"), entry.name, BUILT_IN, check_units=False)
            for entry in entries
            if entry.name.endswith(".yaml") and entry.name != SHARED_FILE
        ]
        vocabulary = cls(shared, files)
        for directory in extra_dirs:
            vocabulary.extend(directory, directory.name)
        return vocabulary

    @property
    def types(self) -> Mapping[str, EntityType]:
        """Every type by name; a view that never changes once handed out."""
        return self._types

    def get_type(self, name: str) -> EntityType:
        """Return a type. Raises NotFound ``vocabulary.type_unknown``."""
        found = self._types.get(name)
        if found is None:
            raise NotFound("vocabulary.type_unknown", type=name, nearest=nearest(name, self._types))
        return found

    def find_type(self, name: str) -> EntityType | None:
        """Return a type, or None."""
        return self._types.get(name)

    def get_property(self, type_name: str, name: str) -> PropertyType:
        """Return a property. Raises NotFound ``vocabulary.type_unknown`` or ``vocabulary.property_unknown``."""
        properties = self.get_type(type_name).properties
        if name not in properties:
            raise NotFound(
                "vocabulary.property_unknown", type=type_name, property=name, nearest=nearest(name, properties)
            )
        return properties[name]

    def check(self, type_name: str, property_name: str, value: Any, unit: str | None = None) -> Any:
        """Return a value in its property's own unit; what the intake asks for each reading.

        Args:
            unit: in which ``value`` was sent (UCUM, UN/CEFACT or a common spelling); None: the property's own.

        Raises:
            Invalid: ``reading.type_unknown``, ``reading.property_unknown``, ``reading.unit_unknown``,
                ``reading.unit_incompatible``, ``reading.out_of_range``, ``reading.not_a_number``,
                ``reading.not_in_list``, and ``reading.not_a_…`` of the other kinds.
        """
        check = self._checks.get((type_name, property_name, unit))
        if check is None:
            check = self._compile(type_name, property_name, unit)
        return check(value)

    def linear(self, type_name: str, property_name: str, unit: str | None = None) -> tuple[float, float] | None:
        """Return (factor, offset) of a plain number's conversion; None: ``check`` does more to it than that.

        ``value * factor + offset``, or the value itself where they are 1 and 0, is to the last bit what ``check``
        returns for a float within the property's limits. It holds as long as ``generation`` stays.
        """
        kind = self._types.get(type_name)
        item = None if kind is None else kind.properties.get(property_name)
        if item is None:
            return None
        try:
            return linear_of(item, unit)
        except Invalid:
            return None

    @property
    def generation(self) -> int:
        """Return a number that changes whenever a type was added, extended or removed."""
        return self._generation

    def limits(self, type_name: str, property_name: str) -> tuple[float, float] | None:
        """Return between what a property's numbers lie, both included, in its own unit.

        ``check`` takes exactly the floats within them. None: it is no plain number, or unknown; ask ``check``.
        """
        entity_type = self._types.get(type_name)
        item = None if entity_type is None else entity_type.properties.get(property_name)
        return None if item is None else number_limits(item)

    def json_schema(self, type_name: str) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a type's key-values form. Raises NotFound ``vocabulary.type_unknown``."""
        return to_json_schema(self.get_type(type_name))

    def extend(self, directory: Path, owner: str) -> list[str]:
        """Add every ``*.yaml`` of a pack's directory, all or nothing; replaces what ``owner`` had added before.

        Returns:
            The names of the types that were added or extended.

        Raises:
            Invalid: ``document.broken`` or ``vocabulary.…``, with ``file`` and ``line``; nothing is changed then.
        """
        added = read_directory(directory, owner, self._units_in_use())
        with self._lock:
            self._swap([file for file in self._files if file.entity_type.owner != owner] + added)
        return sorted({file.entity_type.name for file in added})

    def _units_in_use(self) -> frozenset[str]:
        return frozenset(
            item.unit for kind in self._types.values() for item in kind.properties.values() if item.unit is not None
        )

    def remove(self, owner: str) -> None:
        """Take away what a pack added. Raises Invalid ``vocabulary.base_unknown`` while another pack builds on it."""
        with self._lock:
            self._swap([file for file in self._files if file.entity_type.owner != owner])

    def _swap(self, files: list[TypeFile]) -> None:
        types = MappingProxyType(_assemble(self._shared, files))
        self._files = files
        self._types = types
        self._checks = {}
        self._refusals = {}
        self._generation += 1

    def _compile(self, type_name: str, property_name: str, unit: str | None) -> Check:
        # Taken together, so that what is compiled from the old types never lands among the new checks.
        checks, refusals, types = self._checks, self._refusals, self._types
        known = refusals.get((type_name, property_name, unit))
        if known is not None:
            raise Invalid(known.code, **known.params)
        try:
            check = _compiled(types, type_name, property_name, unit)
        except Invalid as refusal:
            if len(refusals) >= MAX_REFUSALS:
                refusals.clear()
            refusals[type_name, property_name, unit] = Invalid(refusal.code, **refusal.params)
            raise
        if len(checks) < MAX_CHECKS:
            checks[type_name, property_name, unit] = check
        return check


def _compiled(types: Mapping[str, EntityType], type_name: str, property_name: str, unit: str | None) -> Check:
    entity_type = types.get(type_name)
    if entity_type is None:
        raise Invalid("reading.type_unknown", type=type_name, nearest=nearest(type_name, types))
    item = entity_type.properties.get(property_name)
    if item is None:
        close = nearest(property_name, entity_type.properties)
        raise Invalid("reading.property_unknown", type=type_name, property=property_name, nearest=close)
    return compile_check(entity_type, item, unit)


def read_directory(directory: Path, owner: str, known_units: frozenset[str] = frozenset()) -> list[TypeFile]:
    """Read a pack's vocabulary files without adding them; what ``gulou pack check`` asks for.

    Args:
        known_units: need no checking; the units library takes a second to load, which a start should not pay.
    """
    paths = sorted(directory.glob("*.yaml"))
    if len(paths) > MAX_FILES:
        problem = f"more than {MAX_FILES} files"
        raise Invalid("vocabulary.value_wrong", file=str(directory), line=1, key="directory", problem=problem)
    return [
        read_type_file(_text_of(path), str(path), owner, check_units=True, known_units=known_units) for path in paths
    ]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise Invalid("vocabulary.value_wrong", file=str(path), line=1, key="file", problem=str(error)) from error


def _assemble(shared: Mapping[str, PropertyType], files: list[TypeFile]) -> dict[str, EntityType]:
    types: dict[str, EntityType] = {}
    for file in sorted(files, key=lambda item: item.extends):  # stable: all new types first
        own = file.entity_type
        if file.extends:
            types[own.name] = _extended(types, file)
        elif own.name in types:
            raise _already(file, ("type",), own.name, types[own.name].owner)
        else:
            inherited = {name: item for name, item in shared.items() if name not in own.properties}
            types[own.name] = replace(own, properties={**own.properties, **inherited})
    for file in files:
        _check_main(file, types[file.entity_type.name])
    return {
        name: replace(item, properties=MappingProxyType(dict(item.properties))) for name, item in sorted(types.items())
    }


def _extended(types: dict[str, EntityType], file: TypeFile) -> EntityType:
    own = file.entity_type
    base = types.get(own.name)
    if base is None:
        raise Invalid(
            "vocabulary.base_unknown",
            file=file.source.file,
            line=file.line_of("extends"),
            type=own.name,
            nearest=nearest(own.name, types),
        )
    for name in own.properties:
        if name in base.properties:
            raise _already(file, ("properties", name), f"{own.name}.{name}", base.properties[name].owner)
    return replace(base, properties={**base.properties, **own.properties})


def _check_main(file: TypeFile, entity_type: EntityType) -> None:
    main = file.entity_type.main
    if main is not None and main not in entity_type.properties:
        raise Invalid(
            "vocabulary.value_wrong",
            file=file.source.file,
            line=file.line_of("main"),
            key="main",
            problem=f"there is no property {main}; the nearest is {nearest(main, entity_type.properties)}",
        )


def _already(file: TypeFile, path: tuple[str, ...], name: str, owner: str) -> Invalid:
    line = file.line_of(*path)
    return Invalid("vocabulary.already_defined", file=file.source.file, line=line, name=name, owner=owner)
