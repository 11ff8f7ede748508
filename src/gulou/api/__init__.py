"""The API: HTTP and WebSocket for the console and for programs."""

from gulou.api.app import create_app
from gulou.api.document import openapi_document
from gulou.api.services import Services
from gulou.api.settings import ApiSettings, TelemetrySettings

__all__ = ["ApiSettings", "Services", "TelemetrySettings", "create_app", "openapi_document"]
