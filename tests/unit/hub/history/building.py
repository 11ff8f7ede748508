"""Readings for the history's tests."""

from gulou.connectivity.intake import LogBatch, Reading

T0 = 1_740_787_200_000_000  # 2025-03-01T00:00:00Z
MINUTE_US = 60_000_000


def reading(minute=0, value=1.0, name="waterLevel", local="drain-1", type_="WaterLevelObserved", **more):
    return Reading(f"urn:ngsi-ld:{type_}:{local}", type_, name, value, T0 + round(minute * MINUTE_US), **more)


def batch(sequence, *readings, source="test"):
    return LogBatch(sequence, T0 + sequence, source, tuple(readings))
