"""HTTP ingest at the page's address: requests are passed on to the engine as they come, answers back likewise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gulou.api.addresses import INGEST_PREFIX
from gulou.connectivity.bridge import socket_address
from gulou.kernel.messages import render

_MOST = 1_000
_TIMES = httpx.Timeout(None, connect=2.0, pool=5.0)
_NOT_PASSED = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"proxy-connection"}
_RETRY_AFTER_S = 2
_STATUS_AWAY = 503


class IngestRelay:
    """ASGI application; mounted below ``/ingest/v1``. Nothing is kept: a request that the engine has not answered is
    not taken, and its sender is told to come again.

    Args:
        path: the engine's socket for HTTP.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()  # the way to a socket whose path is long, as long as this process is
        self._client: httpx.AsyncClient | None = None
        self._under_way = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass one request on; raises what broke an answer off that had begun."""
        if self._under_way >= _MOST:
            await _away(scope, send, "http.busy")
            return
        self._under_way += 1
        try:
            await self._pass(scope, receive, send)
        finally:
            self._under_way -= 1

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        sent = asyncio.Event()
        gone = asyncio.ensure_future(_leave(receive, sent))
        asked = asyncio.ensure_future(self._ask(scope, receive, sent, send))
        try:
            done, _ = await asyncio.wait((gone, asked), return_when=asyncio.FIRST_COMPLETED)
            if asked in done:
                asked.result()
        finally:
            for task in (gone, asked):
                task.cancel()
            await asyncio.gather(gone, asked, return_exceptions=True)

    async def _ask(self, scope: Any, receive: Any, sent: asyncio.Event, send: Any) -> None:
        path = scope["path"]
        if not path.startswith(f"{INGEST_PREFIX}/"):
            path = INGEST_PREFIX + path
        url = httpx.URL(scheme="http", host="engine", path=path, query=scope["query_string"])
        headers = [(name, value) for name, value in scope["headers"] if name not in _NOT_PASSED]
        names = {name.lower() for name, _ in scope["headers"]}
        has_body = b"content-length" in names or b"transfer-encoding" in names
        if not has_body:
            sent.set()
        content = _body(receive, sent) if has_body else None
        request = httpx.Request(scope["method"], url, headers=headers, content=content)
        begun = False
        try:
            answer = await self._open().send(request, stream=True)
            try:
                head = [(name, value) for name, value in answer.headers.raw if name.lower() not in _NOT_PASSED]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": head})
                begun = True
                async for part in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                await answer.aclose()
        except httpx.TransportError:
            if begun:
                raise  # the connection is broken off, so that nobody takes half an answer for a whole one
            await _away(scope, send, "engine.away")

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=_MOST, max_keepalive_connections=32, keepalive_expiry=30.0)
            address = self._held.enter_context(socket_address(self._path))
            transport = httpx.AsyncHTTPTransport(uds=address, limits=limits)
            self._client = httpx.AsyncClient(transport=transport, timeout=_TIMES, trust_env=False)
            self._client.headers.clear()
        return self._client


async def _body(receive: Any, sent: asyncio.Event) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise httpx.ReadError("the sender has left")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            sent.set()
            return


async def _leave(receive: Any, sent: asyncio.Event) -> None:
    """Return when the sender has left; only asked once its whole request was read."""
    await sent.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _away(scope: Any, send: Any, code: str) -> None:
    languages = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
    language = "zh" if languages.lower().startswith("zh") else "en"
    detail = render(code, {}, language)
    problem = {
        "type": f"urn:gulou:problem:{code}",
        "title": "Unavailable",
        "status": _STATUS_AWAY,
        "detail": detail,
        "code": code,
        "params": {},
        "retry": "later",
    }
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"retry-after", str(_RETRY_AFTER_S).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": _STATUS_AWAY, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(problem)})
