"""What a route gets to know about its request: who asks, in which language, and the services."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Request

from gulou.access import Principal
from gulou.api.services import Services
from gulou.kernel.errors import Denied, Invalid

LANGUAGES = ("en", "zh")


def principal_of(request: Request) -> Principal:
    """Return who asks; the middleware has found out before the route is reached.

    Raises:
        Denied: ``access.unauthenticated``.
    """
    principal = request.scope.get("gulou.principal")
    if not isinstance(principal, Principal):
        raise Denied("access.unauthenticated")
    return principal


def services_of(request: Request) -> Services:
    """Return the services that the application was created with."""
    return cast(Services, request.app.state.services)


def needs(action: str) -> Any:
    """Declare a route's permission; the route gets the principal, and nobody else gets in.

    Whether the permission reaches the department and the type in question is for the route to ask.
    """

    def permitted(request: Request) -> Principal:
        principal = principal_of(request)
        principal.require(action)
        return principal

    permitted.gulou_action = action  # type: ignore[attr-defined]  # read by the test that walks all routes
    return Depends(permitted)


def language_of(request: Request) -> str:
    """Choose the language of texts: the user's own, else the best of ``Accept-Language``, else English."""
    principal = request.scope.get("gulou.principal")
    own = principal.language if isinstance(principal, Principal) else None
    return own or preferred_language(request.headers.get("accept-language", ""))


def preferred_language(header: str) -> str:
    """Choose from an ``Accept-Language`` header; English where nothing fits.

    Source: RFC 9110 §12.5.4
    """
    choices = []
    for position, item in enumerate(header[:500].split(",")):
        tag, _, weight = item.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        choices.append((-quality, position, tag.strip().lower().split("-")[0]))
    for quality, _position, tag in sorted(choices):
        if tag in LANGUAGES and quality < 0:
            return tag
    return "en"


def body_of(limit_bytes: int) -> Any:
    """Give a route its raw body, at most so many bytes.

    Raises:
        Invalid: ``request.too_large``, ``request.empty``.
    """

    async def read(request: Request) -> bytes:
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise Invalid("request.too_large", limit_bytes=limit_bytes)
            chunks.append(chunk)
        if not size:
            raise Invalid("request.empty")
        return b"".join(chunks)

    return Depends(read)


Asker = Annotated[Principal, Depends(principal_of)]
At = Annotated[Services, Depends(services_of)]
Language = Annotated[str, Depends(language_of)]
