"""A device that speaks HTTP over a plain socket, and the adapter behind a real web server."""

from __future__ import annotations

import base64
import json
import socket
import threading
from contextlib import suppress
from typing import Any

import uvicorn

from gulou.connectivity.commands.model import Command
from gulou.sensing.adapters.http import HttpAdapter, HttpSettings
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.sdk.contract import Peer, eventually


class ServedHttpAdapter(HttpAdapter):
    """The adapter with a web server of its own on a free port."""

    def __init__(self, context: AdapterContext, **settings: Any) -> None:
        super().__init__(HttpSettings(**settings), context)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        config = uvicorn.Config(self.application, lifespan="off", log_level="warning", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> None:
        super().start()
        self._thread.start()
        assert eventually(lambda: self._server.started)

    def stop(self, timeout_s: float = 10.0) -> None:
        super().stop(timeout_s)
        self._server.should_exit = True
        self._thread.join(timeout_s)
        self._socket.close()

    def send(self, command: Command) -> bool:
        return super().send(command)


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


class HttpPeer(Peer):
    def __init__(self, address: tuple[str, int], device_id: str, secret: str) -> None:
        self._authorization = basic(device_id, secret)
        self.socket = socket.create_connection(address, 10)
        self._buffer = b""
        self.write(self.request("POST", "/readings", b"[]"))
        status, _ = self.response(10)
        if status != 200:
            self.socket.close()
            raise ConnectionError(f"refused: {status}")

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: gulou\r\nAuthorization: {self._authorization}\r\n"
        return f"{head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def response(self, timeout_s: float) -> tuple[int, Any]:
        """The next response. Raises TimeoutError, or ConnectionError at the end."""
        while b"\r\n\r\n" not in self._buffer:
            self._read(timeout_s)
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            self._read(timeout_s)
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        return int(lines[0].split()[1]), json.loads(rest[:length]) if length else None

    def _read(self, timeout_s: float) -> None:
        self.socket.settimeout(timeout_s)
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("closed")
        self._buffer += data

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self.socket.sendall(data)

    def frame(self, values: dict[str, float], at: str) -> bytes:
        return self.request("POST", "/readings", json.dumps({**values, "observedAt": at}).encode())

    def malformed(self) -> bytes:
        return self.request("POST", "/readings", b"{no json")

    def oversized(self) -> bytes:
        return self.request("POST", "/readings").replace(b"Content-Length: 0", b"Content-Length: 99999999")

    def wait_acknowledged(self, timeout_s: float) -> bool:
        try:
            return self.response(timeout_s)[0] == 200
        except OSError:
            return False

    def wait_closed(self, timeout_s: float) -> bool:
        try:
            while True:
                self._read(timeout_s)
        except TimeoutError:
            return False
        except OSError:
            return True

    def next_command(self, timeout_s: float) -> str | None:
        self.write(self.request("GET", f"/commands?wait={timeout_s}"))
        items = self.response(timeout_s + 5)[1]["items"]
        return str(items[0]["id"]) if items else None

    def answer(self, command_id: str, ok: bool) -> None:
        self.write(self.request("POST", f"/commands/{command_id}/ack", json.dumps({"ok": ok}).encode()))
        self.response(10)

    def close(self) -> None:
        self.socket.close()
