"""Schemas of the performance page: how the platform itself fares."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gulou.api.schemas.packs import DiskView
from gulou.api.schemas.shape import Instant, View


class RatesView(View):
    """Readings per second, over the last ten seconds."""

    received_per_s: float
    stored_per_s: float
    rejected_per_s: float
    dropped_per_s: float


class SourceRates(RatesView):
    """The rates of one source."""

    source: str


class LatencyBucket(View):
    """How many took at most so long, and longer than the bucket before."""

    at_most_ms: float | None = Field(description="upper edge, ms; null: everything longer")
    count: int


class LatencyView(View):
    """How long one kind of work took during the last minute; percentiles are interpolated within a bucket."""

    name: str = Field(description="`<adapter>`: from the bytes of a submission to its receipt, which means durable")
    count: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    buckets: list[LatencyBucket]


class QueueView(View):
    """Something that waits its turn."""

    name: str
    kind: str
    waiting: int
    limit: int | None = Field(default=None, description="what happens at the limit is in the manual; null: none")
    dropped: int = 0
    failed: int = 0


class LagView(View):
    """How far one consumer of the log is."""

    consumer: str
    applied: int = Field(description="log sequence of the last batch that it took")
    position: int = Field(description="log sequence up to which its own store is durable")
    behind: int = Field(description="records that it has not taken yet")
    is_healthy: bool
    problem: str | None = None


class RuleCost(View):
    """What one rule cost since it was loaded."""

    rule: str
    evaluations: int
    busy_ms: float
    us_per_evaluation: float
    is_quarantined: bool = False


class DeviceNoise(View):
    """What one device sent during the present minute and the one before."""

    device_id: str | None = Field(description="null: what came without a device")
    readings: int
    rejected: int
    per_s: float


class ProcessView(View):
    """One process of this installation."""

    name: str
    pid: int
    memory_bytes: int | None = Field(description="resident; null: it does not run now")
    processor_share: float | None = Field(description="of one core, over the last ten seconds")


class AlarmView(View):
    """Something that needs a person."""

    code: str
    severity: Literal["warning", "critical"]
    message: str


class SampleView(View):
    """One point of the charts: rates over the interval that ends at ``at``."""

    at: Instant
    stored_per_s: float
    rejected_per_s: float
    dropped_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    waiting: int
    behind: int


class PerformanceView(View):
    """Rates, latencies, queues, lag, disk, the dearest rules and the loudest devices."""

    now: Instant
    started_at: Instant
    rates: RatesView
    sources: list[SourceRates]
    latencies: list[LatencyView]
    queues: list[QueueView]
    lag: list[LagView]
    disk: DiskView
    rules: list[RuleCost]
    devices: list[DeviceNoise]
    processes: list[ProcessView]
    alarms: list[AlarmView]
    samples: list[SampleView] = Field(description="the last 15 minutes, oldest first")
