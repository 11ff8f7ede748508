"""What stands before the routes: security headers, size limits, and who asks. Plain ASGI."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gulou.access import AccessService, Principal
from gulou.api.addresses import API_PREFIX, COOKIE, CSRF_HEADER, csrf_token
from gulou.api.asking import preferred_language
from gulou.api.problems import problem_response
from gulou.api.settings import ApiSettings
from gulou.kernel import Denied, Fault, GulouError, Invalid

PUBLIC: frozenset[tuple[str, str]] = frozenset(
    {
        ("POST", f"{API_PREFIX}/session"),
        ("GET", f"{API_PREFIX}/health/live"),
        ("GET", f"{API_PREFIX}/health/ready"),
    }
)
"""The only calls below ``/api`` that need no sign-in; everything else does, known or not."""

logger = logging.getLogger(__name__)

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(self), payment=(), usb=()",
}


class SecurityHeaders:
    """Puts the security headers on every response; what the API answers is not kept by caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith("/api/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_api:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Defects:
    """Turns what nobody expected into a problem document that shows no inside; the log has the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def watched(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # the HTTP handler
            reference = secrets.token_hex(4)
            logger.exception("fault %s at %s %s", reference, scope["method"], scope["path"])
            if began:  # the client sees a broken answer, as it should
                raise
            known = error if isinstance(error, GulouError) else Fault("fault.internal", reference=reference)
            await _answer(scope, receive, send, known)


class SizeLimit:
    """Refuses bodies that are too large, whether they say so beforehand or not.

    Args:
        limit_of: path → bytes.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], int]) -> None:
        self._app = app
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        limit, seen, began = self._limit_of(scope["path"]), 0, False
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await _answer(scope, receive, send, Invalid("request.too_large", limit_bytes=limit))
            return

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise Invalid("request.too_large", limit_bytes=limit)
            return message

        async def watched(message: Message) -> None:
            nonlocal began
            if seen <= limit or began:  # else: what the application makes of half a body is of no interest
                began = True
                await send(message)

        await self._app(scope, counted, watched)
        if not began and seen > limit:
            await _answer(scope, receive, send, Invalid("request.too_large", limit_bytes=limit))


class Authentication:
    """Finds out who asks before anything of the request is read; below ``/api`` nobody unknown gets past.

    The principal goes into ``scope["gulou.principal"]``. A change by cookie needs the CSRF token and the own origin.
    """

    def __init__(self, app: ASGIApp, access: AccessService, settings: ApiSettings) -> None:
        self._app = app
        self._access = access
        self._origins = {origin.rstrip("/").lower() for origin in settings.allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or not _is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            scope["gulou.principal"] = await self._principal(scope)
        except GulouError as error:
            if scope["type"] == "websocket":
                await _close_websocket(receive, send)
                return
            await _answer(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | None:
        headers = Headers(scope=scope)
        is_change = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if (scope.get("method"), scope["path"]) in PUBLIC:
            if is_change:
                self._check_origin(scope, headers)
            return None
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await to_thread.run_sync(self._access.authenticate_token, secret.strip())
        if scheme:
            raise Denied("access.unauthenticated")
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if not token or len(token) > 200:
            raise Denied("access.unauthenticated")
        if is_change:
            self._check_origin(scope, headers)
        principal = await to_thread.run_sync(self._access.authenticate_session, token)
        if is_change and scope["type"] == "http":
            sent = headers.get(CSRF_HEADER, "").encode()
            if not hmac.compare_digest(sent, csrf_token(token).encode()):
                raise Denied("access.csrf")
        scope["gulou.session_token"] = token
        return principal

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Refuse what another site's page sends; a browser names the origin with every change."""
        origin = headers.get("origin")
        if origin is None:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower() and origin.lower() not in self._origins:
            raise Denied("access.origin", origin=origin[:200])


def _is_guarded(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


async def _answer(scope: Scope, receive: Receive, send: Send, error: GulouError) -> None:
    request = Request(scope)
    language = preferred_language(request.headers.get("accept-language", ""))
    await problem_response(error, language, scope["path"])(scope, receive, send)


async def _close_websocket(receive: Receive, send: Send) -> None:
    """Tell a page by a close code that it must sign in; a refused handshake would look like a broken network."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4401, "reason": "access.unauthenticated"})
