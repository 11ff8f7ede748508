"""Entity types, properties, units and code lists."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from gulou.api.asking import Asker
from gulou.api.schemas.hub import EntityTypeView, VocabularyView

router = APIRouter(tags=["vocabulary"])


@router.get("/vocabulary")
def get_vocabulary(asker: Asker) -> VocabularyView:
    """Get every entity type and the code lists."""
    raise NotImplementedError


@router.get("/vocabulary/{type_name}")
def get_entity_type(asker: Asker, type_name: str) -> EntityTypeView:
    """Get one entity type."""
    raise NotImplementedError


@router.get("/vocabulary/{type_name}/schema")
def get_entity_type_schema(asker: Asker, type_name: str) -> dict[str, Any]:
    """Get the JSON Schema of one entity type's keyValues form."""
    raise NotImplementedError
