"""The whole platform in one process with its door open: for one command, or where one process is wanted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

from gulou.cli.door import Door, bind
from gulou.cli.place import Place, Running
from gulou.cli.platform import Platform
from gulou.cli.settings import ServerSettings
from gulou.cli.tuning import tune_interpreter
from gulou.cli.wire import build_platform
from gulou.kernel.errors import Fault


class Server:
    """Holds a data directory, builds the platform on it and serves its API; a context manager.

    Args:
        listen: open the device endpoints too. Without it only the API is served, on a free loopback port, for the one
            command that this process runs.
    """

    def __init__(
        self, place: Place, *, listen: bool, settings: ServerSettings | None = None, mqtt_port: int | None = None
    ) -> None:
        self.place = place
        self.running: Running
        self.platform: Platform
        self._listen = listen
        self._given = settings
        self._mqtt_port = mqtt_port
        self._door: Door | None = None

    def __enter__(self) -> Server:
        self.place.hold()
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def first_password(self) -> str | None:
        """Of ``admin``, at the first start only."""
        return self.platform.first_password

    def watch(self, stopped: threading.Event, also: Callable[[], object] = lambda: None) -> None:
        """Serve until told to stop. Raises Fault ``server.died``."""
        tune_interpreter()
        while not stopped.wait(1.0):
            also()
            if self.died():
                raise Fault("server.died")

    def died(self) -> bool:
        """Whether the API's thread has ended without being told to."""
        return self._door is not None and self._door.died()

    def _open(self) -> None:
        settings = self._given or ServerSettings.load(self.place)
        host, port = (settings.host, settings.port) if self._listen else ("127.0.0.1", 0)
        door = bind(host, port, "--port")
        try:
            self.platform = build_platform(self.place, settings, listen=self._listen, mqtt_port=self._mqtt_port)
            self.platform.start()
        except BaseException:
            door.close()
            raise
        scheme = "https" if settings.tls_certificate and self._listen else "http"
        is_secure = scheme == "https"
        self._door = Door(
            self.platform.app,
            [door],
            name="web",
            certificate=settings.tls_certificate if is_secure else None,
            key=settings.tls_key if is_secure else None,
        )
        self._door.open()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104  # only for showing
        self.running = Running(
            pid=os.getpid(),
            url=f"{scheme}://{shown}:{door.getsockname()[1]}",
            token=self.platform.local_token(),
            mqtt_port=self.platform.mqtt_port(),
        )
        if self._listen:
            self.place.announce(self.running)

    def _close(self) -> None:
        if self._door is not None:
            self._door.close()
        if hasattr(self, "platform"):
            self.platform.stop()
        self.place.release()
