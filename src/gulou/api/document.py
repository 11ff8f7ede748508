"""The OpenAPI document, made from the routes alone; no service need exist."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from gulou import __version__
from gulou.api.routes import api_routes
from gulou.api.schemas.live import extra_schemas
from gulou.api.schemas.shape import Problem

_DESCRIPTION = (
    "Gulou's own API: what the console uses. Sign in by `POST /api/v1/session` (cookie, then header `X-Gulou-Csrf` with"
    " every change) or send `Authorization: Bearer <token>`. Errors are problem documents after RFC 9457."
)


def operation_id(route: APIRoute) -> str:
    """Name an operation after its function: ``list_devices`` → ``listDevices``."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def bare_application(lifespan: Any = None) -> FastAPI:
    """Make the application with its routes and nothing behind them."""
    application = FastAPI(
        title="Gulou",
        version=__version__,
        summary="An open city operating platform",
        description=_DESCRIPTION,
        generate_unique_id_function=operation_id,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={"default": {"model": Problem, "description": "A problem document"}},
    )
    application.include_router(api_routes())
    return application


def openapi_document(application: FastAPI | None = None) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, with the ways to authenticate."""
    document = (application or bare_application()).openapi()
    document["components"]["schemas"].update(extra_schemas())
    document["components"]["securitySchemes"] = {
        "session": {"type": "apiKey", "in": "cookie", "name": "gulou_session"},
        "token": {"type": "http", "scheme": "bearer"},
    }
    document["security"] = [{"session": []}, {"token": []}]
    return document
