"""Feeds a history from its position on, as the log does after a start; its parent kills it."""

import sys
from pathlib import Path

import numpy as np

from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.history import HistoryService, HistorySettings
from gulou.kernel.clock import SystemClock

BATCHES, SIZE, T0 = 150, 25, 1_740_787_200_000_000


SERIES = SeriesCatalogue()
for number in range(5):
    SERIES.number_of(f"urn:ngsi-ld:WaterLevelObserved:d-{number}", "WaterLevelObserved", "waterLevel")


def make_batch(sequence):
    """Every second batch comes as columns."""
    first = (sequence - 1) * SIZE
    if sequence % 2:
        n = np.arange(first, first + SIZE)
        columns = Columns((n % 5).astype(np.int32), T0 + n * 10**6, n.astype(np.float64))
        return LogBatch(sequence, T0 + sequence, "test", (), columns=columns)
    readings = tuple(
        Reading(
            f"urn:ngsi-ld:WaterLevelObserved:d-{n % 5}", "WaterLevelObserved", "waterLevel", float(n), T0 + n * 10**6
        )
        for n in range(first, first + SIZE)
    )
    return LogBatch(sequence, T0 + sequence, "test", readings)


def main():
    history = HistoryService(
        Path(sys.argv[1]),
        SystemClock(),
        HistorySettings(flush_s=0.01, compact_files=3, latest_s=0.01, quiet_s=0.05),
        SERIES,
    )
    history.start()
    print("open", flush=True)
    for sequence in range(history.position() + 1, BATCHES + 1):
        history.apply(make_batch(sequence))
        history.flush()
    history.close()
    print("done", flush=True)


main()
