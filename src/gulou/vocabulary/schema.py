"""Entity types as JSON Schema, for whoever builds against the key-values form."""

from __future__ import annotations

from typing import Any

from gulou.vocabulary.model import EntityType, PropertyType

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_URN = r"^urn:ngsi-ld:[A-Za-z][A-Za-z0-9_]*:.+$"


def to_json_schema(entity_type: EntityType) -> dict[str, Any]:
    """Describe an entity in key-values form. Units stand in ``x-unit`` (UCUM), kinds in ``x-kind``."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:gulou:vocabulary:{entity_type.name}",
        "title": entity_type.label.get("en", entity_type.name),
        "description": entity_type.description.get("en", ""),
        "x-label": dict(entity_type.label),
        "type": "object",
        "required": ["id", "type"],
        "properties": {
            "id": {"type": "string", "pattern": f"^urn:ngsi-ld:{entity_type.name}:.+$"},
            "type": {"const": entity_type.name},
            **{name: _property_schema(item) for name, item in entity_type.properties.items()},
        },
    }


def _property_schema(item: PropertyType) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "title": item.label.get("en", item.name),
        "x-label": dict(item.label),
        "x-kind": item.kind,
        **_value_schema(item),
    }
    if item.description:
        schema["description"] = item.description.get("en", "")
    if item.unit is not None:
        schema["x-unit"] = item.unit
    if item.decimals is not None:
        schema["x-decimals"] = item.decimals
    return schema


def _value_schema(item: PropertyType) -> dict[str, Any]:
    if item.kind == "relation":
        one = {"type": "string", "pattern": _URN}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}], "x-targets": list(item.targets)}
    if item.kind == "geo":
        return {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
    if item.values:
        return {"enum": list(item.values), "x-values": {value: dict(text) for value, text in item.values.items()}}
    if item.data_type == "number":
        limits = {"minimum": item.minimum, "maximum": item.maximum}
        return {"type": "number", **{key: limit for key, limit in limits.items() if limit is not None}}
    if item.data_type == "text":
        languages = {"type": "object", "additionalProperties": {"type": "string"}}
        return {"anyOf": [{"type": "string"}, languages]}
    plain: dict[str, dict[str, Any]] = {
        "boolean": {"type": "boolean"},
        "time": {"type": "string", "format": "date-time"},
        "json": {},
    }
    return plain[item.data_type]
