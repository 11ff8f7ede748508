"""What is sent to an OpenTelemetry collector, seen from the collector's side of a real socket."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gulou.api.settings import TelemetrySettings
from gulou.api.telemetry import Telemetry, Tracing
from gulou.kernel import Invalid
from gulou.kernel.settings import load_settings

pytestmark = pytest.mark.integration
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taker)
        self.metrics, self.spans = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/metrics":
            request = ExportMetricsServiceRequest.FromString(body)
            for resource in request.resource_metrics:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    self.server.metrics += [(names["service.name"], metric) for metric in scope.metrics]
        elif self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Figures:
    def families(self):
        stored = CounterMetricFamily("gulou_readings_stored", "Readings stored.", labels=["source"])
        stored.add_metric(["mqtt"], 41)
        yield stored
        yield GaugeMetricFamily("gulou_intake_up", "1 while readings are taken.", 1)
        latency = HistogramMetricFamily("gulou_adapter_latency_seconds", "Latency.", labels=["adapter"])
        latency.add_metric(["mqtt"], [("0.1", 3.0), ("+Inf", 4.0)], 0.5)
        yield latency


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.shutdown()
    made.server_close()


def application(telemetry):
    def level(request):
        return PlainTextResponse("fine")

    def broken(request):
        return PlainTextResponse("no", 500)

    routed = Starlette(routes=[Route("/levels/{name}", level), Route("/broken", broken)])
    return Tracing(routed, telemetry)


def ask(telemetry, path, headers=None):
    async def go():
        transport = httpx.ASGITransport(application(telemetry))
        async with httpx.AsyncClient(transport=transport, base_url="http://city.test") as client:
            return (await client.get(path, headers=headers)).text

    return asyncio.run(go())


def test_figures_and_spans_reach_the_collector(collector):
    settings = TelemetrySettings(endpoint=collector.address, service_name="city", every_s=0.2, trace_share=1)
    telemetry = Telemetry(settings, Figures())
    telemetry.open()
    ask(telemetry, "/levels/drain-7?secret=1", {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    ask(telemetry, "/broken")
    deadline = time.monotonic() + 20
    while not collector.metrics and time.monotonic() < deadline:
        time.sleep(0.05)
    telemetry.close()

    service, stored = next(one for one in collector.metrics if one[1].name == "gulou_readings_stored")
    assert service == "city"
    point = stored.sum.data_points[0]
    assert (point.as_double or point.as_int) == 41
    assert stored.sum.is_monotonic
    assert point.attributes[0].value.string_value == "mqtt"
    names = {metric.name for _, metric in collector.metrics}
    assert {"gulou_intake_up", "gulou_adapter_latency_seconds.count", "gulou_adapter_latency_seconds.sum"} <= names

    by_path = {
        next(one.value.string_value for one in span.attributes if one.key == "url.path"): span
        for span in collector.spans
    }
    level = by_path["/levels/drain-7"]
    assert level.trace_id.hex() == TRACE
    assert level.name == "GET /levels/{name}"
    assert by_path["/broken"].status.code == 2
    assert not any("secret" in str(span) for span in collector.spans)


def test_without_an_endpoint_nothing_is_made():
    telemetry = Telemetry(TelemetrySettings(), Figures())
    telemetry.open()
    assert telemetry.tracer() is None
    assert ask(telemetry, "/levels/a") == "fine"
    telemetry.close()


def test_a_collector_that_is_not_there_holds_nothing_up():
    settings = TelemetrySettings(endpoint="http://127.0.0.1:9", every_s=60, trace_share=1)
    telemetry = Telemetry(settings, Figures())
    telemetry.open()
    assert ask(telemetry, "/levels/a") == "fine"
    begun = time.monotonic()
    telemetry.close()
    assert time.monotonic() - begun < 60


def test_an_endpoint_that_is_no_address_is_refused_at_the_start(tmp_path):
    file = tmp_path / "city.toml"
    file.write_text('[telemetry]\nendpoint = "collector:4318"\n')
    with pytest.raises(Invalid):
        load_settings(TelemetrySettings, "telemetry", file, {})
