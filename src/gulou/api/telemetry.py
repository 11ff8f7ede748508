"""OpenTelemetry: the same figures as ``/metrics``, and a span for each request, sent to a collector by OTLP over HTTP.

Off unless ``[telemetry] endpoint`` is set; then, and only then, the SDK is imported. Headers that a collector asks for
(a key, say) come from the SDK's own environment variable ``OTEL_EXPORTER_OTLP_HEADERS``, never from a file of ours.

Source: OpenTelemetry semantic conventions 1.27 (HTTP server spans); W3C Trace Context
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gulou import __version__
from gulou.api.metrics import Metrics
from gulou.api.settings import TelemetrySettings

_FRESH_S = 1.0
_ANSWER_S = 2.0


class Telemetry:
    """Sends figures and spans from ``open`` to ``close``. A collector that does not answer harms nothing here."""

    def __init__(self, settings: TelemetrySettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tracers: Any = None
        self._meters: Any = None
        self._lock = threading.Lock()
        self._seen: dict[str, Any] = {}
        self._seen_at = float("-inf")

    def open(self) -> None:
        """Begin to send, if a collector is set."""
        settings = self._settings
        if not settings.endpoint:
            return
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
        base = settings.endpoint.rstrip("/")
        self._tracers = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.trace_share)), shutdown_on_exit=False
        )
        self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", timeout=_ANSWER_S)))
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{base}/v1/metrics", timeout=_ANSWER_S), export_interval_millis=1000 * settings.every_s
        )
        self._meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._register()

    def close(self) -> None:
        """Send what is left; a collector that does not answer costs some seconds."""
        for provider in (self._tracers, self._meters):
            if provider is not None:
                provider.shutdown()  # sends what is left
        self._tracers = self._meters = None

    def tracer(self) -> Any:
        """Return the tracer; None while nothing is sent."""
        return None if self._tracers is None else self._tracers.get_tracer("gulou.api", __version__)

    def _register(self) -> None:
        """Make an instrument of every family; histograms as their count and sum (their buckets are on ``/metrics``)."""
        meter = self._meters.get_meter("gulou", __version__)
        for name, family in self._families().items():
            if family.type == "counter":
                meter.create_observable_counter(name, [self._observing(name, "_total")], "1", family.documentation)
            elif family.type == "gauge":
                meter.create_observable_gauge(name, [self._observing(name, "")], "1", family.documentation)
            elif family.type == "histogram":
                meter.create_observable_counter(
                    f"{name}.count", [self._observing(name, "_count")], "1", family.documentation
                )
                meter.create_observable_counter(
                    f"{name}.sum", [self._observing(name, "_sum")], "s", family.documentation
                )

    def _observing(self, name: str, suffix: str) -> Callable[[Any], Iterable[Any]]:
        from opentelemetry.metrics import Observation

        def observe(_options: Any) -> Iterable[Any]:
            family = self._families().get(name)
            for sample in family.samples if family is not None else ():
                if sample.name == name + suffix:
                    yield Observation(sample.value, sample.labels)

        return observe

    def _families(self) -> dict[str, Any]:
        """Read the services once for all instruments of one turn."""
        with self._lock:
            if time.monotonic() - self._seen_at > _FRESH_S:
                self._seen = {family.name: family for family in self._metrics.families()}
                self._seen_at = time.monotonic()
            return self._seen


class Tracing:
    """ASGI middleware: one server span for each HTTP request, joined to the caller's trace."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracer = self._telemetry.tracer() if scope["type"] == "http" else None
        if tracer is None:
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        context = TraceContextTextMapPropagator().extract(carrier)
        method = scope["method"]
        attributes = {"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]}
        with tracer.start_as_current_span(method, context, SpanKind.SERVER, attributes) as span:

            async def note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                    route = getattr(scope.get("route"), "path", None)
                    if route:
                        span.set_attribute("http.route", route)
                        span.update_name(f"{method} {route}")
                await send(message)

            await self._app(scope, receive, note)
