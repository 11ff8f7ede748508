"""How the platform itself fares."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Request

from gulou.access import Principal
from gulou.api.asking import At, Language, needs
from gulou.api.performance import (
    PerformanceBoard,
    Sample,
    latency_between,
    latency_span,
    memory_bytes,
    percentile_ms,
    rate_span,
    rates_between,
)
from gulou.api.schemas.packs import DiskView
from gulou.api.schemas.performance import (
    AlarmView,
    DeviceNoise,
    LagView,
    LatencyBucket,
    LatencyView,
    PerformanceView,
    ProcessView,
    QueueView,
    RatesView,
    RuleCost,
    SampleView,
    SourceRates,
)
from gulou.api.services import Services
from gulou.kernel import from_us, render
from gulou.kernel.clock import SECOND_US
from gulou.sensing.sdk.counters import BUCKETS_S

router = APIRouter(tags=["system"])
Operator = Annotated[Principal, needs("system.read")]
_SHOWN = 10


@router.get("/performance")
def get_performance(request: Request, at: At, asker: Operator, language: Language) -> PerformanceView:
    """Get rates, latencies, queues, lag, disk, the dearest rules and the loudest devices."""
    board: PerformanceBoard = request.app.state.performance
    samples = board.samples()
    status = at.intake.status()
    before, now, seconds = rate_span(samples)
    nothing = (0, 0, 0, 0)
    disk = shutil.disk_usage(at.data_directory)
    return PerformanceView(
        now=from_us(now.at_us),
        started_at=from_us(at.started_at_us),
        rates=RatesView(**_rates(rates_between(before.total(), now.total(), seconds))),
        sources=[
            SourceRates(source=source, **_rates(rates_between(before.sources.get(source, nothing), counts, seconds)))
            for source, counts in sorted(now.sources.items())
        ],
        latencies=_latencies(samples),
        queues=_queues(at, status),
        lag=[
            LagView(
                consumer=one["name"],
                applied=one["applied"],
                position=one["position"],
                behind=max(0, status["log"]["last_sequence"] - one["applied"]),
                is_healthy=one["healthy"],
                problem=one["problem"] or one["checkpoint_problem"],
            )
            for one in status["consumers"]
        ],
        disk=DiskView(total_bytes=disk.total, free_bytes=disk.free),
        rules=[
            RuleCost(
                rule=one.rule_id,
                evaluations=one.evaluations,
                busy_ms=round(one.busy_ns / 1e6, 3),
                us_per_evaluation=round(one.busy_ns / 1e3 / max(1, one.evaluations), 2),
                is_quarantined=one.quarantined,
            )
            for one in at.rules.dearest(_SHOWN)
        ],
        devices=[
            DeviceNoise(
                device_id=one.device_id or None,
                readings=one.readings,
                rejected=one.rejected,
                per_s=round((one.readings + one.rejected) / one.seconds, 2),
            )
            for one in at.traffic.noisiest(_SHOWN, now.at_us)
        ],
        processes=_processes(at, before, now, seconds),
        alarms=[
            AlarmView(code=alarm.code, severity=alarm.severity, message=render(alarm.code, alarm.params, language))
            for alarm in board.alarms(status, now)
        ],
        samples=[_point(old, new) for old, new in pairwise(samples)],
    )


def _rates(rates: tuple[float, float, float, float]) -> dict[str, float]:
    names = ("received_per_s", "stored_per_s", "rejected_per_s", "dropped_per_s")
    return {name: round(rate, 2) for name, rate in zip(names, rates, strict=True)}


def _latencies(samples: list[Sample]) -> list[LatencyView]:
    before, now, _ = latency_span(samples)
    shown = []
    for name, counts in sorted(now.latency.items()):
        gained = latency_between(before.latency.get(name) if before is not now else None, counts)
        if not sum(counts):
            continue
        edges: list[float | None] = [*(1000 * edge for edge in BUCKETS_S), None]
        shown.append(
            LatencyView(
                name=name,
                count=sum(gained),
                p50_ms=percentile_ms(gained, 0.5),
                p99_ms=percentile_ms(gained, 0.99),
                p999_ms=percentile_ms(gained, 0.999),
                buckets=[
                    LatencyBucket(at_most_ms=edge, count=count) for edge, count in zip(edges, gained, strict=True)
                ],
            )
        )
    return shown


def _queues(at: Services, status: dict[str, object]) -> list[QueueView]:
    waiting, limit = status["waiting_readings"], status["max_waiting"]
    assert isinstance(waiting, int) and isinstance(limit, int)
    queues = [QueueView(name="intake", kind="readings", waiting=waiting, limit=limit)]
    return queues + [
        QueueView(name=one.name, kind=one.kind, waiting=one.queued, dropped=one.dropped, failed=one.failed)
        for one in at.bus.status()
    ]


def _processes(at: Services, before: Sample, now: Sample, seconds: float) -> list[ProcessView]:
    shown = []
    for name, pid in at.processes().items():
        used, earlier = now.processor_s.get(name), before.processor_s.get(name)
        share = None
        if used is not None and earlier is not None and seconds > 0 and used >= earlier:
            share = round((used - earlier) / seconds, 3)
        shown.append(ProcessView(name=name, pid=pid, memory_bytes=memory_bytes(pid), processor_share=share))
    return shown


def _point(before: Sample, after: Sample) -> SampleView:
    seconds = (after.at_us - before.at_us) / SECOND_US
    _, stored, rejected, dropped = rates_between(before.total(), after.total(), seconds)
    gained = [0] * (len(BUCKETS_S) + 1)
    for name, counts in after.latency.items():
        for place, count in enumerate(latency_between(before.latency.get(name), counts)):
            gained[place] += count
    return SampleView(
        at=from_us(after.at_us),
        stored_per_s=round(stored, 2),
        rejected_per_s=round(rejected, 2),
        dropped_per_s=round(dropped, 2),
        p50_ms=percentile_ms(gained, 0.5),
        p99_ms=percentile_ms(gained, 0.99),
        waiting=after.waiting,
        behind=after.behind,
    )
