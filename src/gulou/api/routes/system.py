"""Health and the state of the system."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gulou.api.asking import Asker
from gulou.api.schemas.packs import Health, SystemView

public_router = APIRouter(tags=["system"])
router = APIRouter(tags=["system"])


@public_router.get("/health/live")
def get_liveness() -> Health:
    """Say that the process answers."""
    raise NotImplementedError


@public_router.get("/health/ready")
def get_readiness(request: Request, response: Response) -> Health:
    """Say whether readings are taken and pages served; 503 while not."""
    raise NotImplementedError


@router.get("/system")
def get_system(asker: Asker) -> SystemView:
    """Get the state of the system."""
    raise NotImplementedError
