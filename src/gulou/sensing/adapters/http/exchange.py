"""One HTTP request and its answer, over plain ASGI: bodies with limits, problem documents, receipts."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gulou.kernel.errors import Denied, GulouError, Invalid
from gulou.kernel.messages import render

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]

_BODY_TIMEOUT_S = 60.0


class Request:
    """What came in.

    Args:
        path: below the place where the application is mounted.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        path = str(scope["path"])
        root = str(scope.get("root_path", ""))
        self.path = path.removeprefix(root).rstrip("/") or "/"
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20))
        self._receive = receive

    @property
    def language(self) -> str:
        """Return en or zh, as the caller prefers."""
        return "zh" if self.headers.get("accept-language", "").strip().lower().startswith("zh") else "en"

    @property
    def content_type(self) -> str:
        """Return the media type without parameters, lower-case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self, limit: int) -> bytes:
        """Read the body, unpacked.

        Raises:
            Invalid: ``http.body_too_large``, ``http.encoding_unknown``, ``http.body_incomplete``,
                ``payload.malformed``.
        """
        declared = self.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limit:
            raise Invalid("http.body_too_large", limit=limit)
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                raw = await self._read(limit)
        except TimeoutError:
            raise Invalid("http.body_incomplete") from None
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return raw
        if encoding != "gzip":
            raise Invalid("http.encoding_unknown", encoding=encoding[:40])
        return unpack(raw, limit)

    async def _read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Invalid("http.body_incomplete")
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise Invalid("http.body_too_large", limit=limit)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def gone(self) -> None:
        """Return when the caller has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def unpack(raw: bytes, limit: int) -> bytes:
    """Unpack gzip, never making more than ``limit`` bytes.

    Raises:
        Invalid: ``http.body_too_large`` or ``payload.malformed``.
    """
    machine = zlib.decompressobj(wbits=31)
    try:
        data = machine.decompress(raw, limit + 1)
    except zlib.error as error:
        raise Invalid("payload.malformed", format="gzip", detail=str(error)) from None
    if len(data) > limit:
        raise Invalid("http.body_too_large", limit=limit)
    if not machine.eof:
        raise Invalid("payload.malformed", format="gzip", detail="it ends too early")
    return data


async def answer(send: Send, status: int, content: object, *headers: tuple[str, str], problem: bool = False) -> None:
    """Send a JSON answer; None as content sends an empty one."""
    body = b"" if content is None else msgspec.json.encode(content)
    kind = "application/problem+json" if problem else "application/json"
    fields = [("content-length", str(len(body))), ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
    if body:
        fields.append(("content-type", kind))
    pairs = [(name.encode(), value.encode()) for name, value in (*fields, *headers)]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: GulouError, language: str, retry_after_s: int, **more: object) -> None:
    """Send a problem document. Source: RFC 9457 §3."""
    status = _STATUS.get(error.code, error.status)
    headers: list[tuple[str, str]] = []
    if isinstance(error, Denied) and error.code == "access.unauthenticated":
        status = 401
        headers.append(("www-authenticate", 'Basic realm="gulou", Bearer'))
    if error.retry == "later":
        headers.append(("retry-after", str(retry_after_s)))
    if error.code in ("http.body_too_large", "http.body_incomplete"):
        headers.append(("connection", "close"))  # the rest of the body is not waited for
    params = {
        key: value if isinstance(value, str | int | float | bool) else str(value) for key, value in error.params.items()
    }
    document = {
        "type": f"urn:gulou:problem:{error.code}",
        "title": type(error).__name__,
        "status": status,
        "detail": render(error.code, error.params, language),
        "code": error.code,
        "params": params,
        "retry": error.retry,
        **more,
    }
    await answer(send, status, document, *headers, problem=True)


_STATUS = {
    "http.body_too_large": 413,
    "http.encoding_unknown": 415,
    "http.content_unknown": 415,
    "http.method_unknown": 405,
    "payload.malformed": 400,
}
