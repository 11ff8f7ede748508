"""The process in which rules are measured by themselves: what a reading costs, and how long changes hold it up.

``python -m gulou.cli.bench.rules_cost`` reads one order as JSON and answers with one line of JSON.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from gulou.cli.bench.model import Spread
from gulou.cli.bench.report import workspace
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue
from gulou.hub.rules import Detection, EmptySurroundings, Rule, RuleService, RuleSet
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.records import Database
from gulou.vocabulary import Vocabulary

_TYPE, _PROPERTY = "WaterLevelObserved", "waterLevel"
_START_US = 1_780_000_000 * SECOND_US
_LIMIT = 2.0
_PARTS = 10
"""The least disturbed of so many parts counts: caches are not ours alone, even where processors are."""
_TEXT = f"""rules:
  - id: level
    kind: threshold
    select: {{type: {_TYPE}, id: "urn:ngsi-ld:{_TYPE}:s-0"}}
    value: {_PROPERTY}
    levels: {{yellow: {_LIMIT}, red: 3.0}}
    hysteresis: 0.2
    category: flood
    headline: "{{name}}: {{value:.2f}} m"
"""


class RulesOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Args:
        rules: threshold rules, each about one entity; entity by entity, then again from the first.
        whole: the first of them is about every entity of the type instead, so that every reading meets a rule.
        series: that send, one after the other at random.
        batch: readings in a batch.
        batches: of these, while the cost is taken.
        changed: rules that are changed while readings come; 0: the cost is measured, else the pauses.
    """

    rules: int
    whole: bool = False
    series: int = 100_000
    batch: int = 4_096
    batches: int = 500
    changed: int = 0


class Holds:
    """A lock that knows how long it was held; a context manager as the service uses it.

    ``longest_cpu_ns`` is the most processor time that was spent in one go: what remains of the longest hold once the
    machine's other work is left out.
    """

    def __init__(self) -> None:
        self._lock, self._depth, self._since_ns, self._cpu_ns = threading.RLock(), 0, 0, 0
        self.longest_ns = self.longest_cpu_ns = 0

    def forget(self) -> None:
        self.longest_ns = self.longest_cpu_ns = 0

    def figures(self) -> dict[str, float]:
        return {"wall": round(self.longest_ns / 1e6, 2), "processor": round(self.longest_cpu_ns / 1e6, 2)}

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            self._since_ns, self._cpu_ns = time.perf_counter_ns(), time.thread_time_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._depth == 1:
            self.longest_ns = max(self.longest_ns, time.perf_counter_ns() - self._since_ns)
            self.longest_cpu_ns = max(self.longest_cpu_ns, time.thread_time_ns() - self._cpu_ns)
        self._depth -= 1
        self._lock.release()


class Workshop:
    """A rule service with its rules and series, fed directly."""

    def __init__(self, order: RulesOrder, folder: Path) -> None:
        self.order = order
        self.catalogue = SeriesCatalogue()
        for number in range(order.series):
            self.catalogue.number_of(_entity(number), _TYPE, _PROPERTY, "bench")
        self.database = Database.at(folder / "records.db")
        self.database.create_tables()
        self.clock, bus, self.found = VirtualClock(_START_US), MemoryBus(), 0
        bus.subscribe(Detection, self._count, name="bench")
        self.service = RuleService(self.database, self.clock, bus, EmptySurroundings(), series=self.catalogue)
        self.holds = Holds()
        self.service._lock = self.holds  # type: ignore[assignment]  # the same, with a watch
        parsed = RuleSet.parse({"rules/bench.yaml": _TEXT}, Vocabulary.load(), pack="bench")
        self.model = parsed.rules[0]
        self.service.start(0)
        self.at_us, self.sequence = _START_US, 0
        self._dice = np.random.default_rng(7)

    def _count(self, message: object) -> None:
        self.found += 1

    def rules(self, pack: str, first: int, last: int, version: str = "1") -> RuleSet:
        """Make rules that differ in the entity they are about, as reading them would."""
        made = [self._rule(pack, number, version) for number in range(first, last)]
        return RuleSet(pack, version, tuple(made), {})

    def _rule(self, pack: str, number: int, version: str) -> Rule:
        about = None if number == 0 and self.order.whole else _entity(number % self.order.series)
        select = replace(self.model.select, exact_id=about)
        name = f"r{number}"
        return msgspec.structs.replace(
            self.model,
            id=f"{pack}/{name}",
            pack=pack,
            name=name,
            select=select,
            version=version,
            state_version=version,
        )

    def hear_all(self) -> None:
        """Let every series be heard once, the usual way: the first reading of each is judged."""
        numbers = np.arange(self.order.series, dtype=np.int32)
        for begin in range(0, len(numbers), self.order.batch):
            part = numbers[begin : begin + self.order.batch]
            self.apply(self._batch(part, np.full(len(part), 1.0)))

    def quiet(self) -> Iterator[LogBatch]:
        """Yield batches that reach no limit."""
        while True:
            part = self._dice.integers(0, self.order.series, self.order.batch, dtype=np.int32)
            yield self._batch(part, 1.0 + 0.5 * self._dice.random(len(part)))

    def crossing(self, above: bool) -> LogBatch:
        """Make a batch in which every reading crosses the limit of its series."""
        few = 500 if self.order.whole else min(self.order.rules, self.order.series, 500)
        return self._batch(np.arange(few, dtype=np.int32), np.full(few, _LIMIT + (0.5 if above else -1.0)))

    def _batch(self, series: np.ndarray[Any, np.dtype[np.int32]], values: Any) -> LogBatch:
        self.sequence += 1
        times = self.at_us + np.arange(len(series), dtype=np.int64)
        self.at_us += SECOND_US // 100
        self.clock.set_us(self.at_us)
        return LogBatch(self.sequence, self.at_us, "bench", (), columns=Columns(series, times, values))

    def apply(self, batch: LogBatch) -> None:
        self.service.apply(batch)


def _entity(number: int) -> str:
    return f"urn:ngsi-ld:{_TYPE}:s-{number}"


def measure_cost(order: RulesOrder, folder: Path) -> dict[str, Any]:
    """Return the processor time that a reading costs, and the memory of a rule."""
    shop = Workshop(order, folder)
    before = _resident_mb()
    begun = time.perf_counter()
    shop.service.load(shop.rules("bench", 0, order.rules))
    load_s, hold_ms = time.perf_counter() - begun, shop.holds.figures()
    shop.hear_all()
    memory_mb = _resident_mb() - before
    gc.collect()
    gc.freeze()
    quiet = shop.quiet()
    costs = []
    for _ in range(_PARTS):
        batches = [next(quiet) for _ in range(order.batches // _PARTS)]
        begun_ns = time.thread_time_ns()
        for batch in batches:
            shop.apply(batch)
        costs.append((time.thread_time_ns() - begun_ns) / len(batches) / order.batch)
    assert shop.found == 0
    crossings, begun_ns = 0, time.thread_time_ns()
    for above in (True, False) * 4:
        batch = shop.crossing(above)
        shop.apply(batch)
        crossings += batch.count
    crossing_ns = time.thread_time_ns() - begun_ns
    return {
        "reading_ns": round(min(costs), 2),
        "crossing_us": round(crossing_ns / 1_000 / crossings, 1),
        "detections": shop.found,
        "load_s": round(load_s, 2),
        "longest_hold_ms": hold_ms,
        "memory_kb_per_rule": round(1_000 * memory_mb / order.rules, 2) if order.rules >= order.series else None,
    }


def measure_pauses(order: RulesOrder, folder: Path) -> dict[str, Any]:
    """Return how long batches take, and the service's lock is held, while rules change and a checkpoint is written."""
    shop = Workshop(order, folder)
    shop.service.load(shop.rules("steady", 0, order.rules - order.changed))
    shop.service.load(shop.rules("changing", order.rules - order.changed, order.rules))
    shop.hear_all()
    changed = shop.rules("changing", order.rules - order.changed, order.rules, "2")
    gc.collect()
    gc.freeze()
    quiet = shop.quiet()
    _apply_for(shop, quiet, 0.5)
    alone_ms = _apply_for(shop, quiet, 2.0)
    shop.holds.forget()
    change = threading.Thread(target=shop.service.load, args=(changed,))
    begun = time.perf_counter()
    change.start()
    during_ms = []
    while change.is_alive():
        during_ms += _apply_for(shop, quiet, 0.2)
    change_s = time.perf_counter() - begun
    change_hold_ms = shop.holds.figures()
    shop.holds.forget()
    shop.at_us += 60 * SECOND_US
    shop.clock.set_us(shop.at_us)
    shop.service.checkpoint()
    keeping_ms = _apply_for(shop, quiet, 2.0)
    shop.service.wait_kept()
    return {
        "alone_ms": Spread.of(alone_ms),
        "while_changing_ms": Spread.of(during_ms),
        "while_keeping_ms": Spread.of(keeping_ms),
        "longest_batch_ms": {"alone": max(alone_ms), "changing": max(during_ms), "keeping": max(keeping_ms)},
        "longest_hold_ms": {"changing": change_hold_ms, "keeping": shop.holds.figures()},
        "change_s": change_s,
    }


def _apply_for(shop: Workshop, quiet: Iterator[LogBatch], seconds: float) -> list[float]:
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        batch = next(quiet)
        begun = time.perf_counter()
        shop.apply(batch)
        taken.append(1_000 * (time.perf_counter() - begun))
        time.sleep(0.004)
    return taken


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 1e6


def main() -> None:
    sys.setswitchinterval(0.0005)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=RulesOrder)
    with workspace() as folder:
        measure = measure_pauses if order.changed else measure_cost
        answer = measure(order, Path(folder))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
