"""The HTTP adapter: an ASGI application that the web server mounts at ``/ingest/v1``."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from gulou.connectivity.commands.model import Command
from gulou.sensing.adapters.http.application import IngestApplication
from gulou.sensing.adapters.http.settings import HttpSettings
from gulou.sensing.sdk import AdapterContext, Counters, Health, load_manifest


class HttpAdapter:
    """Implements ``Adapter``; it has no sockets of its own. ``application`` is what the web server mounts."""

    def __init__(self, settings: HttpSettings, context: AdapterContext) -> None:
        self.manifest = load_manifest(Path(__file__).parent / "manifest.yaml")
        self.counters = Counters()
        self.application = IngestApplication(settings, context, self.counters, self.manifest.label)
        self._running = False

    def start(self) -> None:
        """Nothing to open: requests come once the web server runs."""
        self._running = True

    def stop(self, timeout_s: float = 10.0) -> None:
        """Take nothing more."""
        self._running = False
        self.application.close()

    def health(self) -> Health:
        """Tell whether it takes requests."""
        return Health("up" if self._running else "down")

    def send(self, command: Command) -> bool:
        """Hand a command to a device that waits for one."""
        return self.application.send_command(command)

    def end_connections(self, device_id: str) -> None:
        """Refuse the requests of a device that wait: it may not be here any more, or not with this secret."""
        self.application.end_connections(device_id)


def create(settings: BaseModel | None, context: AdapterContext) -> HttpAdapter:
    """Make the adapter; named by the manifest."""
    return HttpAdapter(settings if isinstance(settings, HttpSettings) else HttpSettings(), context)
