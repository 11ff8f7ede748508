"""A running platform with its door open: the API on a socket, announced to this user's other commands."""

from __future__ import annotations

import os
import socket
import threading
import time
from types import TracebackType

import uvicorn

from gulou.cli.place import Place, Running
from gulou.cli.platform import Platform
from gulou.cli.settings import ServerSettings
from gulou.cli.wire import build_platform
from gulou.kernel.errors import Conflict, Unavailable

_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 10


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
        self._uvicorn: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

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

    def died(self) -> bool:
        """Whether the API's thread has ended without being told to."""
        return self._thread is not None and not self._thread.is_alive()

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
        config = uvicorn.Config(
            self.platform.app,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # it multiplies the cost of live frames
            ws_max_size=2**20,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
            ssl_certfile=settings.tls_certificate if scheme == "https" else None,
            ssl_keyfile=settings.tls_key if scheme == "https" else None,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([door],), name="web", daemon=True)
        self._thread.start()
        self._await_start()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104  # only for showing
        self.running = Running(
            pid=os.getpid(),
            url=f"{scheme}://{shown}:{door.getsockname()[1]}",
            token=self.platform.local_token(),
            mqtt_port=self.platform.mqtt_port(),
        )
        if self._listen:
            self.place.announce(self.running)

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while self._uvicorn is not None and not self._uvicorn.started:
            if time.monotonic() > deadline or self._thread is None or not self._thread.is_alive():
                raise Unavailable("server.not_started", seconds=_START_WITHIN_S)
            time.sleep(0.01)

    def _close(self) -> None:
        if self._uvicorn is not None and self._thread is not None:
            self._uvicorn.should_exit = True
            self._thread.join(_STOP_WITHIN_S + 5)
        if hasattr(self, "platform"):
            self.platform.stop()
        self.place.release()


def bind(host: str, port: int, option: str) -> socket.socket:
    """Open a listening socket; raises Conflict ``server.port_in_use`` that names the option to change it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
        door.listen(1024)
    except OSError as error:
        door.close()
        raise Conflict("server.port_in_use", host=host, port=port, option=option, detail=error.strerror or "") from None
    door.setblocking(False)
    return door
