"""One module of routes for each area; ``public_router`` is what needs no sign-in, ``router`` is everything else."""

from __future__ import annotations

from fastapi import APIRouter

from gulou.api.addresses import API_PREFIX
from gulou.api.routes import (
    accounting,
    commands,
    devices,
    entities,
    history,
    incidents,
    packs,
    rules,
    session,
    system,
    users,
    vocabulary,
    warnings,
)

__all__ = ["api_routes"]

_AREAS = (
    session, users, vocabulary, entities, history, devices, commands, warnings, incidents, rules, packs, accounting,
    system,
)  # fmt: skip


def api_routes() -> APIRouter:
    """Gather all routes under the API's prefix."""
    whole = APIRouter(prefix=API_PREFIX)
    for area in (session, system):
        whole.include_router(area.public_router)
    for area in _AREAS:
        whole.include_router(area.router)
    return whole
