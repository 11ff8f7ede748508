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
    performance,
    rules,
    session,
    system,
    users,
    vocabulary,
    warnings,
)

__all__ = ["api_routes", "area_routers"]

_AREAS = (
    session, users, vocabulary, entities, history, devices, commands, warnings, incidents, rules, packs, accounting,
    system, performance,
)  # fmt: skip


def area_routers() -> list[APIRouter]:
    """Return the routers of all areas, the public ones first."""
    return [area.public_router for area in (session, system)] + [area.router for area in _AREAS]


def api_routes() -> APIRouter:
    """Gather all routes under the API's prefix."""
    whole = APIRouter(prefix=API_PREFIX)
    for router in area_routers():
        whole.include_router(router)
    return whole
