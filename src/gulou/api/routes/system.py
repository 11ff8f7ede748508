"""Health and the state of the system."""

from __future__ import annotations

import platform
import shutil
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response

from gulou import __version__
from gulou.access import Principal
from gulou.api.asking import At, Language, needs
from gulou.api.schemas.packs import DiskView, Health, SystemView
from gulou.api.services import Services
from gulou.kernel import from_us, render

public_router = APIRouter(tags=["system"])
router = APIRouter(tags=["system"])

Operator = Annotated[Principal, needs("system.read")]


@public_router.get("/health/live")
def get_liveness() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@public_router.get("/health/ready")
def get_readiness(at: At, response: Response) -> Health:
    """Say whether readings are taken and pages served; 503 while not. Parts that fail by the clock are named."""
    state = at.intake.status()["state"]
    is_ready = state == "running"
    response.status_code = 200 if is_ready else 503
    parts = {"engine": "away", "intake": "paused"} if state == "away" else {"intake": state}
    failing = [timer.part for timer in at.timers() if timer.problem is not None]
    if failing:
        parts["timers"] = f"failing: {', '.join(failing)}"
    return Health(status="ok" if is_ready else "unavailable", parts=parts)


@router.get("/system")
def get_system(request: Request, at: At, asker: Operator, language: Language) -> SystemView:
    """Get the state of the system."""
    intake = dict(at.intake.status())
    disk = shutil.disk_usage(at.data_directory)
    return SystemView(
        version=__version__,
        python=platform.python_version(),
        started_at=from_us(at.started_at_us),
        now=from_us(at.clock.now_us()),
        disk=DiskView(total_bytes=disk.total, free_bytes=disk.free),
        disk_full=bool(intake["disk_full"]),
        consumers=intake.pop("consumers"),
        intake=intake,
        history=at.history.status(),
        context=at.context.status(),
        rules=at.rules.status(),
        commands={"active": at.commands.active_count()},
        bus=[msgspec.to_builtins(status) for status in at.bus.status()],
        timers=[msgspec.to_builtins(timer) for timer in at.timers()],
        adapters=_adapters(at, language),
        live_clients=request.app.state.live.count(),
    )


def _adapters(at: Services, language: str) -> list[dict[str, Any]]:
    shown = []
    for name, adapter in at.adapters().items():
        health = adapter.health()
        shown.append(
            {
                "name": name,
                "version": adapter.manifest.version,
                "protocol": adapter.manifest.protocol,
                "state": health.state,
                "message": render(health.detail, health.params, language) if health.detail else "",
                "addresses": health.addresses,
                "counters": msgspec.to_builtins(adapter.counters.values()),
            }
        )
    return shown
