"""The API: HTTP and WebSocket for the console and for programs.

The web framework is loaded with the first application, not with this package: a process that serves no pages only
wants the addresses and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gulou.api.services import Services
from gulou.api.settings import ApiSettings, TelemetrySettings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ApiSettings", "Services", "TelemetrySettings", "create_app", "openapi_document"]


def create_app(services: Services) -> FastAPI:
    """Make the ASGI application of a city; see ``gulou.api.app.create_app``."""
    from gulou.api import app

    return app.create_app(services)


def openapi_document(application: FastAPI | None = None) -> dict[str, Any]:
    """Return the OpenAPI document; see ``gulou.api.document.openapi_document``."""
    from gulou.api import document

    return document.openapi_document(application)
