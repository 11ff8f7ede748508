"""Feeds a context from its position on and writes to it directly, saying what is done; its parent kills it."""

import sys
from pathlib import Path

import numpy as np

from gulou.access import Principal
from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.context import ContextService, ContextSettings, SqlContextStore
from gulou.kernel.clock import SystemClock
from gulou.records import Database

BATCHES, SIZE, T0 = 1500, 20, 1_740_787_200_000_000


def make_batch(sequence):
    """Make readings of every pump: power as objects, flow as columns."""
    readings = tuple(
        Reading(f"urn:ngsi-ld:Pump:{n}", "Pump", "power", float(sequence), T0 + sequence * 10**6) for n in range(SIZE)
    )
    columns = Columns(
        np.arange(SIZE, dtype=np.int32), np.full(SIZE, T0 + sequence * 10**6), np.full(SIZE, float(sequence))
    )
    return LogBatch(sequence, T0 + sequence, "test", readings, columns=columns)


def open_context(directory):
    series = SeriesCatalogue(Path(directory) / "series")
    for n in range(SIZE):
        series.number_of(f"urn:ngsi-ld:Pump:{n}", "Pump", "flow")
    series.sync()
    store = SqlContextStore(Database.at(Path(directory) / "context.db"))
    store.create_tables()
    return ContextService(
        store, SystemClock(), settings=ContextSettings(save_s=0.02, save_series_s=0.05), series=series
    )


def main():
    context = open_context(sys.argv[1])
    context.start()
    for sequence in range(context.position() + 1, BATCHES + 1):
        context.apply(make_batch(sequence))
        if sequence % 10 == 0:
            context.upsert_entity(
                {"id": f"urn:ngsi-ld:Pump:{sequence % SIZE}", "type": "Pump", "note": sequence},
                Principal.system("test"),
            )
            print(sequence, flush=True)
    context.close()


if __name__ == "__main__":
    main()
