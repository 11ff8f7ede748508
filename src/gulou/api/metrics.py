"""Prometheus metrics: read from the services at each scrape, nothing is counted twice.

Source: OpenMetrics 1.0 §5 (names, types, units)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gulou.sensing.sdk.counters import BUCKETS_S, CounterValues

if TYPE_CHECKING:
    from gulou.api.services import Services


class Metrics:
    """The metrics of one installation."""

    def __init__(self, services: Services) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Gulou(services))

    def families(self) -> Iterator[Metric]:
        """Read all metrics."""
        yield from self._registry.collect()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Gulou(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> list[Metric]:
        """Tell the registry nothing beforehand, so that nothing is read at the start."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._ledger()
        yield from self._intake()
        yield from self._bus()
        yield from self._adapters()

    def _ledger(self) -> Iterator[Metric]:
        accounts = self._services.ledger.accounts()
        for name, text in (
            ("received", "Readings received; always stored + rejected + dropped."),
            ("stored", "Readings stored."),
            ("rejected", "Readings rejected with a reason."),
            ("dropped", "Readings given up unacknowledged."),
        ):
            family = CounterMetricFamily(f"gulou_readings_{name}", text, labels=["source"])
            for account in accounts:
                family.add_metric([account.source], getattr(account, name))
            yield family

    def _intake(self) -> Iterator[Metric]:
        status = self._services.intake.status()
        yield GaugeMetricFamily("gulou_intake_up", "1 while readings are taken.", int(status["state"] == "running"))
        yield GaugeMetricFamily("gulou_intake_disk_full", "1 while the disk is full.", int(status["disk_full"]))
        yield GaugeMetricFamily(
            "gulou_intake_waiting_readings", "Readings taken but not yet applied.", status["waiting_readings"]
        )
        yield CounterMetricFamily("gulou_log_sequence", "Records in the log so far.", status["log"]["last_sequence"])
        lag = GaugeMetricFamily("gulou_consumer_position", "Log position that is durable.", labels=["consumer"])
        healthy = GaugeMetricFamily("gulou_consumer_up", "1 while the consumer applies the log.", labels=["consumer"])
        for consumer in status["consumers"]:
            lag.add_metric([consumer["name"]], consumer["position"])
            healthy.add_metric([consumer["name"]], int(consumer.get("error") is None))
        yield from (lag, healthy)

    def _bus(self) -> Iterator[Metric]:
        labels = ["subscriber", "message"]
        delivered = CounterMetricFamily("gulou_bus_delivered", "Messages handled.", labels=labels)
        failed = CounterMetricFamily("gulou_bus_failed", "Messages whose handler failed.", labels=labels)
        dropped = CounterMetricFamily("gulou_bus_dropped", "Messages given up by a live view.", labels=labels)
        queued = GaugeMetricFamily("gulou_bus_queued", "Messages waiting.", labels=labels)
        for status in self._services.bus.status():
            names = [status.name, status.kind]
            delivered.add_metric(names, status.delivered)
            failed.add_metric(names, status.failed)
            dropped.add_metric(names, status.dropped)
            queued.add_metric(names, status.queued)
        yield from (delivered, failed, dropped, queued)

    def _adapters(self) -> Iterator[Metric]:
        values = {name: adapter.counters.values() for name, adapter in self._services.adapters().items()}
        for name, text in (
            ("received", "Readings received by the adapter."),
            ("accepted", "Readings accepted through the adapter."),
            ("rejected", "Readings of the adapter that were rejected."),
            ("dropped", "Readings that the adapter gave up."),
            ("connections_total", "Connections let in."),
            ("refused", "Connections or requests refused."),
            ("protocol_errors", "Connections closed for breaking the protocol."),
            ("commands_sent", "Commands handed to devices."),
            ("commands_answered", "Commands that devices answered."),
            ("throttled", "Times that a device's reading paused because it sent too much."),
            ("cut_off", "Devices disconnected because they did not read what they were sent."),
            ("relayed", "Messages passed on from device to device."),
            ("relay_dropped", "Messages between devices given up for lack of room."),
            ("wills", "Wills of devices carried out."),
        ):
            family = CounterMetricFamily(f"gulou_adapter_{name.removesuffix('_total')}", text, labels=["adapter"])
            _add_each(family.add_metric, values, name)
            yield family
        open_now = GaugeMetricFamily("gulou_adapter_open_connections", "Connections now.", labels=["adapter"])
        _add_each(open_now.add_metric, values, "connections")
        yield open_now
        latency = HistogramMetricFamily(
            "gulou_adapter_latency_seconds", "From the bytes of a submission to its receipt.", labels=["adapter"]
        )
        for adapter, counted in values.items():
            latency.add_metric([adapter], _cumulated(counted), counted.latency_sum_s)
        yield latency


def _add_each(add: Callable[[list[str], float], None], values: dict[str, CounterValues], name: str) -> None:
    for adapter, counted in values.items():
        add([adapter], getattr(counted, name))


def _cumulated(counted: CounterValues) -> list[tuple[str, float]]:
    """Return the histogram's buckets as Prometheus wants them: each with all smaller ones."""
    edges = [*(f"{edge:g}" for edge in BUCKETS_S), "+Inf"]
    total, buckets = 0, []
    for edge, count in zip(edges, counted.latency, strict=True):
        total += count
        buckets.append((edge, float(total)))
    return buckets
