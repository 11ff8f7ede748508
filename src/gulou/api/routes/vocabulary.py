"""Entity types, properties, units and code lists."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gulou.api.asking import Asker, At
from gulou.api.schemas.hub import CodeView, EntityTypeView, PropertyView, VocabularyView
from gulou.api.shaping import to_view
from gulou.vocabulary import CodeList, EntityType, load_code_lists

router = APIRouter(tags=["vocabulary"])


@router.get("/vocabulary")
def get_vocabulary(at: At, asker: Asker) -> VocabularyView:
    """Get every entity type and the code lists."""
    lists = load_code_lists()
    return VocabularyView(
        types=[_type_view(entity_type) for entity_type in at.vocabulary.types.values()],
        severities=_code_views(lists["severity"]),
        categories=_code_views(lists["category"]),
        cap_categories=_code_views(lists["cap_category"]),
        incident_kinds=_code_views(lists["incident_kind"]),
    )


@router.get("/vocabulary/{type_name}")
def get_entity_type(at: At, asker: Asker, type_name: str) -> EntityTypeView:
    """Get one entity type."""
    return _type_view(at.vocabulary.get_type(type_name))


@router.get("/vocabulary/{type_name}/schema")
def get_entity_type_schema(at: At, asker: Asker, type_name: str) -> dict[str, Any]:
    """Get the JSON Schema of one entity type's keyValues form."""
    return at.vocabulary.json_schema(type_name)


def _type_view(entity_type: EntityType) -> EntityTypeView:
    properties = [
        to_view(
            PropertyView,
            item,
            label=dict(item.label),
            values={value: dict(texts) for value, texts in item.values.items()},
            description=dict(item.description),
        )
        for item in entity_type.properties.values()
    ]
    return to_view(
        EntityTypeView,
        entity_type,
        label=dict(entity_type.label),
        description=dict(entity_type.description),
        properties=properties,
    )


def _code_views(codes: CodeList) -> list[CodeView]:
    ordered = sorted(codes.codes.values(), key=lambda code: code.order)
    return [CodeView(code=code.code, label=dict(code.label), properties=dict(code.properties)) for code in ordered]
