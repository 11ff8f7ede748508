"""What is measured, and what comes out. Frozen, no I/O."""

from __future__ import annotations

import statistics

import msgspec


class LoopPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the closed loop is measured.

    Args:
        gateways: MQTT connections; each carries its share of the sensors.
        sensors: devices that send all the time.
        probes: devices that now and then cross the limit, so that a rule commands the pump beside them.
        probes_per_s: how many crossings a second; each is one sample of the loop.
        rules: rules that judge every reading; one of them commands.
        rate_per_s: measure at this rate; None: search the highest that is sustained.
        limit_ms: a rate counts as sustained while p99 of loop and acknowledgement stay below this.
        runs: measurements at the rate found; the medians are reported.
    """

    gateways: int = 8
    sensors: int = 1_000
    probes: int = 200
    probes_per_s: float = 20.0
    rules: int = 5
    rate_per_s: float | None = None
    first_rate_per_s: float = 500.0
    limit_ms: float = 1_000.0
    step_s: float = 5.0
    run_s: float = 15.0
    runs: int = 3

    def made_quick(self) -> LoopPlan:
        """Return a plan that takes about half a minute."""
        return msgspec.structs.replace(self, step_s=2.0, run_s=4.0, runs=1, sensors=200, probes=50)


class RosterGateway(msgspec.Struct, frozen=True):
    """One connection, the sensors behind it, and pairs of probe and pump."""

    id: str
    secret: str
    sensors: list[str]
    probes: list[tuple[str, str]]


class Roster(msgspec.Struct, frozen=True):
    """Where to connect, and as whom."""

    host: str
    port: int
    gateways: list[RosterGateway]


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
    def median_of(cls, spreads: list[Spread]) -> Spread:
        """Return the median of each percentile over several runs."""
        return cls(*(_median([getattr(spread, name) for spread in spreads]) for name in ("p50", "p99", "p999")))


class StepOrder(msgspec.Struct, frozen=True):
    """One period of load, as the generator is told."""

    rate_per_s: float
    seconds: float
    probes_per_s: float


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator saw in one period.

    Args:
        rate_per_s: readings per second that it really sent.
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


class LoopMedian(msgspec.Struct, frozen=True, kw_only=True):
    """The medians over the runs. ``lost``: acknowledged but not stored, or never answered, in all of them."""

    rate_per_s: float
    loop_ms: Spread
    ack_ms: Spread
    lost: int


class LoopReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer of ``gulou bench loop``."""

    name: str
    machine: dict[str, str | int | float]
    settings: LoopPlan
    search: list[StepResult]
    runs: list[StepResult]
    sustained: bool
    median: LoopMedian


def _rank(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 3) if known else None
