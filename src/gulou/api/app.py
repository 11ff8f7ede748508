"""Puts the application together: guards, routes, live stream, metrics, ingest, console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import cast

from fastapi import FastAPI, Request, Response, WebSocket
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from gulou.access import Principal
from gulou.api.addresses import API_PREFIX, INGEST_PREFIX
from gulou.api.document import bare_application, openapi_document
from gulou.api.guards import Authentication, Defects, SecurityHeaders, SizeLimit
from gulou.api.live import LiveHub
from gulou.api.metrics import Metrics
from gulou.api.performance import PerformanceBoard
from gulou.api.problems import install_problem_handlers
from gulou.api.services import Services
from gulou.api.static import Console
from gulou.api.telemetry import Telemetry, Tracing
from gulou.kernel import Denied

_LARGE = (f"{API_PREFIX}/devices/bulk", f"{API_PREFIX}/loads/", f"{API_PREFIX}/packs/check")


def create_app(services: Services) -> FastAPI:
    """Make the ASGI application of a city.

    The live stream and the performance board listen from start-up to shut-down of the application (ASGI lifespan).
    """
    live = LiveHub(services)
    performance = PerformanceBoard(services)
    metrics = Metrics(services)
    telemetry = Telemetry(services.telemetry, metrics)
    console = Console(services.console_directory)
    application = bare_application(lifespan=_lifespan(live, performance, telemetry))
    application.state.services = services
    application.state.live = live
    application.state.performance = performance
    install_problem_handlers(application)
    _add_document(application)
    _add_live(application, live)
    _add_metrics(application, services, metrics)
    _add_console(application, console)
    settings = services.settings
    application.add_middleware(Authentication, access=services.access, settings=settings)
    application.add_middleware(SizeLimit, limit_of=_limits(settings.body_limit_bytes, settings.bulk_limit_bytes))
    application.add_middleware(Defects)
    application.add_middleware(SecurityHeaders)
    application.add_middleware(Tracing, telemetry=telemetry)
    if services.http_ingest is not None:
        application.add_middleware(Ingest, ingest=services.http_ingest)
    return application


class Ingest:
    """Hands everything below ``/ingest/v1`` to the HTTP adapter, past all that pages need."""

    def __init__(self, app: ASGIApp, ingest: ASGIApp) -> None:
        self._app = app
        self._ingest = ingest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{INGEST_PREFIX}/"):
            await self._app(scope, receive, send)
            return
        inner = dict(scope)
        inner["root_path"] = scope.get("root_path", "") + INGEST_PREFIX
        await self._ingest(inner, receive, send)


def _lifespan(live: LiveHub, performance: PerformanceBoard, telemetry: Telemetry) -> Callable[[FastAPI], object]:
    @asynccontextmanager
    async def lifespan(_application: FastAPI) -> AsyncIterator[None]:
        live.open()
        performance.open()
        telemetry.open()
        try:
            yield
        finally:
            telemetry.close()
            performance.close()
            live.close()

    return lifespan


def _limits(ordinary: int, bulk: int) -> Callable[[str], int]:
    return lambda path: bulk if path.startswith(_LARGE) else ordinary


def _add_document(application: FastAPI) -> None:
    @application.get(f"{API_PREFIX}/openapi.json", include_in_schema=False)
    def get_openapi_document() -> dict[str, object]:
        return openapi_document(application)


def _add_live(application: FastAPI, live: LiveHub) -> None:
    @application.websocket(f"{API_PREFIX}/live")
    async def serve_live(socket: WebSocket) -> None:
        await live.serve(socket, cast(Principal, socket.scope["gulou.principal"]))


def _add_metrics(application: FastAPI, services: Services, metrics: Metrics) -> None:
    def is_permitted(request: Request) -> bool:
        if services.settings.metrics_public or _is_loopback(request):
            return True
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Denied("access.unauthenticated")
        services.access.authenticate_token(secret.strip()).require("system.read")
        return True

    @application.get("/metrics", include_in_schema=False)
    async def get_metrics(request: Request) -> Response:
        await run_in_threadpool(is_permitted, request)
        body = await run_in_threadpool(metrics.exposition)
        return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def _is_loopback(request: Request) -> bool:
    """Say whether the caller is on this machine itself; a proxy's forwarding header means that it may not be."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _add_console(application: FastAPI, console: Console) -> None:
    @application.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def get_console_file(request: Request) -> Response:
        return await console.answer(request)
