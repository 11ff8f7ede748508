"""How the platform itself fares: looks at the services every few seconds, and keeps a quarter of an hour of it.

Everything is read from counters that exist anyway; looking costs a few ms, whatever the load.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gulou.kernel.clock import SECOND_US
from gulou.kernel.errors import GulouError
from gulou.sensing.sdk.counters import BUCKETS_S

if TYPE_CHECKING:
    from gulou.api.services import Services

_log = logging.getLogger(__name__)
_KEPT_US = 15 * 60 * SECOND_US
_RATES_US = 10 * SECOND_US
_LATENCIES_US = 60 * SECOND_US
_LOW_DISK_SHARE = 0.05
_LONG_LAG = 10_000

Counts = tuple[int, int, int, int]
"""received, stored, rejected, dropped"""


class Sample(msgspec.Struct, frozen=True):
    """The counters at one moment.

    Args:
        at_us: µs UTC.
        latency: per adapter, counts by bucket of ``BUCKETS_S`` and one open bucket.
        processor_s: per process, the processor time used so far.
    """

    at_us: int
    sources: dict[str, Counts]
    latency: dict[str, tuple[int, ...]]
    waiting: int
    behind: int
    processor_s: dict[str, float]

    def total(self) -> Counts:
        """Sum over the sources."""
        sums = [sum(counts[place] for counts in self.sources.values()) for place in range(4)]
        return (sums[0], sums[1], sums[2], sums[3])


class Alarm(msgspec.Struct, frozen=True):
    """Something that needs a person; ``code`` is in the message catalogue."""

    code: str
    severity: Literal["warning", "critical"]
    params: dict[str, Any] = {}


class PerformanceBoard:
    """Samples the services on a thread of its own, from ``open`` to ``close``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._every_s = services.settings.performance_s
        self._samples: deque[Sample] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to look, if the settings say so."""
        if not self._every_s:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep_looking, name="performance", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def samples(self) -> list[Sample]:
        """Return what was seen, oldest first, the present moment last."""
        kept = list(self._samples)
        return [*kept, self.look()]

    def look(self) -> Sample:
        """Read all counters now."""
        services = self._services
        status = services.intake.status()
        last = status["log"]["last_sequence"]
        behind = max((last - consumer["applied"] for consumer in status["consumers"]), default=0)
        sources = {
            one.source: (one.received, one.stored, one.rejected, one.dropped) for one in services.ledger.accounts()
        }
        latency = {name: adapter.counters.values().latency for name, adapter in services.adapters().items()}
        used = {name: processor_s(pid) for name, pid in services.processes().items()}
        return Sample(
            services.clock.now_us(),
            sources,
            latency,
            status["waiting_readings"],
            max(0, behind),
            {name: seconds for name, seconds in used.items() if seconds is not None},
        )

    def alarms(self, status: Mapping[str, Any], sample: Sample) -> list[Alarm]:
        """Say what needs a person now, worst first."""
        services, found = self._services, []
        state = status["state"]
        if state != "running":
            found.append(Alarm("performance.intake", "critical", {"state": state}))
        for source, (received, stored, rejected, dropped) in sorted(sample.sources.items()):
            gap = received - stored - rejected - dropped
            if gap:
                found.append(Alarm("performance.unbalanced", "critical", {"source": source, "gap": gap}))
        for consumer in status["consumers"]:
            behind = status["log"]["last_sequence"] - consumer["applied"]
            if consumer["problem"]:
                params = {"consumer": consumer["name"], "problem": consumer["problem"]}
                found.append(Alarm("performance.consumer", "critical", params))
            elif behind > _LONG_LAG:
                found.append(Alarm("performance.lag", "warning", {"consumer": consumer["name"], "records": behind}))
        disk = shutil.disk_usage(services.data_directory)
        if disk.free < _LOW_DISK_SHARE * disk.total:
            free_gb = round(disk.free / 1e9, 1)
            found.append(
                Alarm("performance.disk", "warning", {"free_gb": free_gb, "path": str(services.data_directory)})
            )
        for name, adapter in services.adapters().items():
            health = adapter.health()
            if health.state != "up":
                severity: Literal["warning", "critical"] = "critical" if health.state == "down" else "warning"
                found.append(Alarm("performance.adapter", severity, {"adapter": name, "state": health.state}))
        for subscriber in services.bus.status():
            if subscriber.failed:
                params = {"subscriber": subscriber.name, "failed": subscriber.failed}
                found.append(Alarm("performance.bus", "warning", params))
        for timer in services.timers():
            if timer.problem is not None:
                params = {"part": timer.part, "problem": timer.problem, "failed": timer.failed}
                found.append(Alarm("performance.timer", "critical", params))
        quarantined = services.rules.status()["quarantined"]
        if quarantined:
            found.append(Alarm("performance.rules", "warning", {"count": len(quarantined), "rule": quarantined[0]}))
        return sorted(found, key=lambda alarm: alarm.severity)

    def _keep_looking(self) -> None:
        while True:
            try:
                self._samples.append(sample := self.look())
                while sample.at_us - self._samples[0].at_us > _KEPT_US:
                    self._samples.popleft()
            except GulouError as error:  # a part is away for the moment; the next look may find it
                _log.debug("performance: %s", error)
            if self._stop.wait(self._every_s):
                return


def rates_between(before: Counts, after: Counts, seconds: float) -> tuple[float, float, float, float]:
    """Return received, stored, rejected, dropped per second; counters that began anew count from zero."""
    if seconds <= 0:
        return (0.0, 0.0, 0.0, 0.0)
    gained = [(new - old if new >= old else new) / seconds for old, new in zip(before, after, strict=True)]
    return (gained[0], gained[1], gained[2], gained[3])


def _span(samples: Sequence[Sample], wanted_us: int) -> tuple[Sample, Sample, float]:
    after = samples[-1]
    before = next((one for one in reversed(samples) if after.at_us - one.at_us >= wanted_us), samples[0])
    return before, after, (after.at_us - before.at_us) / SECOND_US


def latency_between(before: Sequence[int] | None, after: Sequence[int]) -> list[int]:
    """Return what a histogram gained."""
    if before is None or sum(before) > sum(after):
        return list(after)
    return [new - old for old, new in zip(before, after, strict=True)]


def percentile_ms(buckets: Sequence[int], share: float) -> float | None:
    """Return a percentile, ms, interpolated within its bucket; of the open bucket its lower edge; None: no sample."""
    total = sum(buckets)
    if not total:
        return None
    wanted, seen = share * total, 0
    for place, count in enumerate(buckets):
        if count and seen + count >= wanted:
            low = BUCKETS_S[place - 1] if place else 0.0
            high = BUCKETS_S[place] if place < len(BUCKETS_S) else low
            return round(1000 * (low + (high - low) * (wanted - seen) / count), 3)
        seen += count
    return 1000 * BUCKETS_S[-1]


def rate_span(samples: Sequence[Sample]) -> tuple[Sample, Sample, float]:
    """Return the two samples that rates are taken between, about ten seconds apart, and the seconds."""
    return _span(samples, _RATES_US)


def latency_span(samples: Sequence[Sample]) -> tuple[Sample, Sample, float]:
    """Return the two samples that latencies are taken between, about a minute apart, and the seconds."""
    return _span(samples, _LATENCIES_US)


def memory_bytes(pid: int) -> int | None:
    """Return a process's resident memory, bytes; None where it is gone or the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def processor_s(pid: int) -> float | None:
    """Return the processor time that a process has used, seconds; None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
