"""An ASGI application on sockets that are open already, served on a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from gulou.kernel.errors import Conflict, Unavailable

_START_WITHIN_S = 60.0
STOP_WITHIN_S = 10


class Door:
    """Serves until it is closed.

    Args:
        certificate, key: PEM files; with both, HTTPS.
    """

    def __init__(
        self,
        app: Any,
        sockets: Sequence[socket.socket],
        *,
        name: str,
        certificate: str | None = None,
        key: str | None = None,
    ) -> None:
        import uvicorn  # the supervisor opens sockets, too, and need not carry it

        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,  # it multiplies the cost of live frames
            ws_max_size=2**20,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=STOP_WITHIN_S,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._uvicorn = uvicorn.Server(config)
        self._sockets = list(sockets)
        self._thread = threading.Thread(target=self._uvicorn.run, args=(self._sockets,), name=name, daemon=True)

    def open(self) -> None:
        """Begin to serve; returns when requests are taken. Raises Unavailable ``server.not_started``."""
        self._thread.start()
        deadline = time.monotonic() + _START_WITHIN_S
        while not self._uvicorn.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise Unavailable("server.not_started", seconds=_START_WITHIN_S)
            time.sleep(0.01)

    def died(self) -> bool:
        """Whether it has ended without being told to."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def close(self) -> None:
        """Take no more requests, and wait for those that run."""
        if self._thread.ident is not None:
            self._uvicorn.should_exit = True
            self._thread.join(STOP_WITHIN_S + 5)


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
