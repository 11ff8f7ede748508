"""Entities as NGSI-LD JSON, normalized and simplified, in and out.

``@context`` is tolerated and left out: names are kept as they are written. System attributes (``createdAt``,
``modifiedAt``, ``deletedAt``) in what comes in are ignored, they are the platform's.

Source: ETSI GS CIM 009 V1.8.1 §4.5, §5.2.4-5.2.8
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gulou.hub.context.model import KINDS, Attribute, Entity
from gulou.kernel.clock import from_rfc3339, to_rfc3339
from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import to_shape

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]{1,500}")
_NAME = re.compile(r"[^\s\x00-\x1f\"\\;|()\[\]<>=!~,]{1,256}")
_SYSTEM = frozenset({"createdAt", "modifiedAt", "deletedAt", "expiresAt"})
_GEOMETRIES = frozenset(
    {"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}
)
_HELD = frozenset(KINDS.values())
_DEPTH = 8
_INSTANCES = 100


def from_normalized(document: Any, *, max_attributes: int = 1_000) -> Entity:
    """Read an entity from NGSI-LD JSON, normalized or concise (a bare value is a Property).

    Raises:
        Invalid: ``entity.…``, with ``where`` in the document; ``geometry.…``; ``time.…``.
    """
    if not isinstance(document, dict):
        raise Invalid("entity.not_an_object", where="entity")
    types = document.get("type", document.get("@type"))
    names = tuple(types) if isinstance(types, list) else (types,)
    if not names or len(names) > 16 or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in names):
        raise Invalid("entity.type_malformed", where="type")
    identifier = check_uri(document.get("id", document.get("@id")), "id")
    scope = document.get("scope", [])
    scopes = [scope] if isinstance(scope, str) else scope
    if not isinstance(scopes, list) or len(scopes) > 100 or not all(isinstance(one, str) for one in scopes):
        raise Invalid("entity.scope_malformed", where="scope")
    return Entity(identifier, names, read_attributes(document, max_attributes=max_attributes), scope=tuple(scopes))


def read_attributes(document: Any, *, max_attributes: int = 1_000) -> dict[str, tuple[Attribute, ...]]:
    """Read the attributes of an entity or of a fragment of one; raises as ``from_normalized``."""
    if not isinstance(document, dict):
        raise Invalid("entity.not_an_object", where="entity")
    left_out = {"id", "type", "scope", *_SYSTEM}
    names = [name for name in document if name not in left_out and not str(name).startswith("@")]
    if len(names) > max_attributes:
        raise Invalid("entity.too_many_attributes", limit=max_attributes)
    return {_checked_name(name): _instances(document[name], name, 1) for name in names}


def check_uri(value: Any, where: str) -> str:
    """Return a URI. Raises Invalid ``entity.uri_malformed``. Source: RFC 3986 §3"""
    if not isinstance(value, str) or not _URI.fullmatch(value):
        raise Invalid("entity.uri_malformed", where=where, value=str(value)[:200])
    return value


def to_normalized(entity: Entity, *, system: bool = False) -> dict[str, Any]:
    """Write an entity as normalized NGSI-LD JSON; with ``system`` also when it was created and modified."""
    document: dict[str, Any] = {"id": entity.id, "type": _one_or_list(entity.types)}
    if entity.scope:
        document["scope"] = _one_or_list(entity.scope)
    if system:
        document["createdAt"] = to_rfc3339(entity.created_at_us)
        document["modifiedAt"] = to_rfc3339(entity.modified_at_us)
    for name, instances in entity.attributes.items():
        document[name] = _one_or_list([_write(instance, system) for instance in instances])
    return document


def to_key_values(entity: Entity) -> dict[str, Any]:
    """Write an entity in the simplified form, names and values only. Source: ETSI GS CIM 009 V1.8.1 §4.5.4"""
    document: dict[str, Any] = {"id": entity.id, "type": _one_or_list(entity.types)}
    if entity.scope:
        document["scope"] = _one_or_list(entity.scope)
    for name, instances in entity.attributes.items():
        if len(instances) == 1 and instances[0].dataset_id is None:
            document[name] = _simple(instances[0])
        else:
            document[name] = {"dataset": {one.dataset_id or "@none": _simple(one) for one in instances}}
    return document


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid("entity.name_malformed", name=str(name)[:200])
    return name


def _instances(raw: Any, where: str, depth: int) -> tuple[Attribute, ...]:
    several = isinstance(raw, list) and bool(raw) and all(isinstance(one, dict) and _is_reified(one) for one in raw)
    if not several:
        return (_read(raw, where, depth),)
    if len(raw) > _INSTANCES:
        raise Invalid("entity.too_many_instances", where=where, limit=_INSTANCES)
    found = [_read(one, f"{where}[{index}]", depth) for index, one in enumerate(raw)]
    if len({one.dataset_id for one in found}) < len(found):
        raise Invalid("entity.dataset_twice", where=where)
    return tuple(sorted(found, key=lambda one: (one.dataset_id is not None, one.dataset_id or "")))


def _is_reified(raw: Mapping[str, Any]) -> bool:
    return raw.get("type") in KINDS or not _HELD.isdisjoint(raw)


def _read(raw: Any, where: str, depth: int) -> Attribute:
    if depth > _DEPTH:
        raise Invalid("entity.too_deep", where=where, limit=_DEPTH)
    if not isinstance(raw, dict) or not _is_reified(raw):
        return _read_concise(raw, where)
    kind = raw.get("type")
    if kind not in KINDS:
        held = next(member for member in KINDS.values() if member in raw)
        kind = next(name for name, member in KINDS.items() if member == held)
        if kind == "Property" and _is_geometry(raw["value"]):
            kind = "GeoProperty"
    member = KINDS[kind]
    if member not in raw:
        raise Invalid("entity.value_missing", where=where, kind=kind, member=member)
    value = _checked_value(kind, raw[member], f"{where}.{member}")
    observed, unit, dataset = raw.get("observedAt"), raw.get("unitCode"), raw.get("datasetId")
    if unit is not None and not isinstance(unit, str):
        raise Invalid("entity.unit_malformed", where=f"{where}.unitCode")
    sub = {
        _checked_name(name): _instances(one, f"{where}.{name}", depth + 1)
        for name, one in raw.items()
        if name not in {"type", member, "observedAt", "unitCode", "datasetId"} | _SYSTEM and name[:1] != "@"
    }
    return Attribute(
        kind,
        value,
        None if observed is None else _instant(observed, f"{where}.observedAt"),
        unit,
        None if dataset in {None, "@none"} else check_uri(dataset, f"{where}.datasetId"),
        sub,
    )


def _read_concise(raw: Any, where: str) -> Attribute:
    """A bare value: a geometry is a GeoProperty, everything else a Property. Source: ETSI GS CIM 009 V1.8.1 §4.5.1"""
    kind = "GeoProperty" if _is_geometry(raw) else "Property"
    return Attribute(kind, _checked_value(kind, raw, where))


def _checked_value(kind: str, value: Any, where: str) -> Any:
    if value is None or value == "urn:ngsi-ld:null":
        raise Invalid("entity.value_null", where=where)
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid("entity.value_malformed", where=where, kind=kind)
    if kind == "GeoProperty":
        to_shape(value, where)
    elif kind in {"Relationship", "ListRelationship"}:
        targets = value if isinstance(value, list) else [value]
        if len(targets) > 10_000:
            raise Invalid("entity.value_malformed", where=where, kind=kind)
        for target in targets:
            check_uri(target["object"] if isinstance(target, dict) and "object" in target else target, where)
    elif kind == "LanguageProperty":
        texts = isinstance(value, dict) and value and all(isinstance(one, (str, list)) for one in value.values())
        if not texts:
            raise Invalid("entity.value_malformed", where=where, kind=kind)
    elif kind == "ListProperty" and not isinstance(value, list):
        raise Invalid("entity.value_malformed", where=where, kind=kind)
    return value


def _is_geometry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") in _GEOMETRIES
        and ("coordinates" in value or "geometries" in value)
    )


def _instant(text: Any, where: str) -> int:
    if not isinstance(text, str):
        raise Invalid("entity.time_malformed", where=where, value=str(text)[:60])
    try:
        return from_rfc3339(text)
    except Invalid as error:
        raise Invalid("entity.time_malformed", where=where, value=text[:60]) from error


def _write(attribute: Attribute, system: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"type": attribute.kind, KINDS[attribute.kind]: attribute.value}
    if attribute.observed_at_us is not None:
        document["observedAt"] = to_rfc3339(attribute.observed_at_us)
    if attribute.unit_code is not None:
        document["unitCode"] = attribute.unit_code
    if attribute.dataset_id is not None:
        document["datasetId"] = attribute.dataset_id
    if system:
        document["modifiedAt"] = to_rfc3339(attribute.modified_at_us)
    for name, instances in attribute.sub.items():
        document[name] = _one_or_list([_write(instance, False) for instance in instances])
    return document


def _simple(attribute: Attribute) -> Any:
    """Source: ETSI GS CIM 009 V1.8.1 §4.5.4: these kinds keep their member even in the simplified form."""
    if attribute.kind in {"LanguageProperty", "VocabProperty", "JsonProperty"}:
        return {KINDS[attribute.kind]: attribute.value}
    return attribute.value


def _one_or_list(items: Any) -> Any:
    return items[0] if len(items) == 1 else list(items)
