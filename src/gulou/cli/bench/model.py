"""What is measured, and what comes out. Frozen, no I/O."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class LoopPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the closed loop is measured.

    Args:
        gateways: MQTT connections; each carries its share of the series.
        single: each reading in a packet of its own; else what is due in a millisecond goes together.
        series: devices with one numeric series each, which send all the time; the probes are among them.
        probes: devices that now and then cross the limit, so that a rule commands the pump beside them.
        probes_per_s: how many crossings a second; each is one sample of the loop.
        rules: threshold rules, each about one series; those of the probes come first, and command.
        rate_per_s: measure at this rate; None: search the highest that is sustained.
        limit_ms: a rate counts as sustained while p99 of loop and acknowledgement stay below this.
        runs: measurements at the rate found; the medians are reported.
    """

    gateways: int = 8
    single: bool = False
    series: int = 100_000
    probes: int = 400
    probes_per_s: float = 50.0
    rules: int = 100_000
    rate_per_s: float | None = None
    first_rate_per_s: float = 10_000.0
    limit_ms: float = 10.0
    step_s: float = 5.0
    run_s: float = 10.0
    runs: int = 5

    @property
    def warm_up_s(self) -> float:
        """How long the first period lasts, in which every series is seen for the first time."""
        return max(2.0, 1.5 * self.series / self.warm_up_per_s)

    @property
    def warm_up_per_s(self) -> float:
        """Its rate."""
        return max(100.0, min(20_000.0, self.series / 2))

    def made_quick(self) -> LoopPlan:
        """Return a plan that takes less than a minute."""
        return msgspec.structs.replace(
            self, first_rate_per_s=25_000.0, step_s=1.5, run_s=4.0, runs=1, series=2_000, rules=2_000, probes=100
        )


class RosterGateway(msgspec.Struct, frozen=True):
    """One connection, the sensors behind it, and pairs of probe and pump."""

    id: str
    secret: str
    sensors: list[str]
    probes: list[tuple[str, str]]


class Roster(msgspec.Struct, frozen=True):
    """Where to connect, and as whom; ``single``: each message in a packet of its own."""

    host: str
    port: int
    gateways: list[RosterGateway]
    single: bool = False


class Spread(msgspec.Struct, frozen=True):
    """Percentiles of a duration, milliseconds; None where there was no sample."""

    p50: float | None
    p99: float | None
    p999: float | None

    @classmethod
    def of(cls, samples_ms: list[float]) -> Spread:
        """Return the nearest-rank percentiles."""
        ordered = sorted(samples_ms)
        return cls(*(_rank(ordered, share) for share in (0.5, 0.99, 0.999)))

    @classmethod
    def of_micros(cls, counts: NDArray[np.int64]) -> Spread:
        """Return the same of a histogram: how often each number of microseconds was seen."""
        below = np.cumsum(counts)
        total = int(below[-1])
        if not total:
            return cls(None, None, None)
        ranks = [min(total - 1, int(share * total)) for share in (0.5, 0.99, 0.999)]
        return cls(*(int(np.searchsorted(below, rank, "right")) / 1_000 for rank in ranks))


class StepOrder(msgspec.Struct, frozen=True):
    """One period of load, as the generator is told."""

    rate_per_s: float
    seconds: float
    probes_per_s: float


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator saw in one period.

    Args:
        rate_per_s: readings per second that were acknowledged while it lasted.
        waiting: readings not yet acknowledged when the period ended.
        unanswered: readings never acknowledged, and probes without their command, after the time of grace.
        loop_ms: from sending the reading that crosses the limit to receiving the command.
        ack_ms: from sending a reading to its PUBACK, which means that it is durable.
    """

    asked_per_s: float
    rate_per_s: float
    sent: int
    acked: int
    waiting: int
    probes: int
    commands: int
    unanswered: int
    loop_ms: Spread
    ack_ms: Spread

    def is_sustained(self, limit_ms: float) -> bool:
        """Tell whether the platform kept up: nothing lost, no growing queue, quick enough."""
        kept_up = self.rate_per_s >= 0.97 * self.asked_per_s and self.waiting <= max(50.0, 0.5 * self.asked_per_s)
        quick = all(spread.p99 is not None and spread.p99 <= limit_ms for spread in (self.loop_ms, self.ack_ms))
        return kept_up and quick and self.unanswered == 0


def _rank(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
