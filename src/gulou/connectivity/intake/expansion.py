"""From columns back to objects."""

from __future__ import annotations

from msgspec import structs

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.model import LogBatch, Reading
from gulou.connectivity.intake.series import SeriesCatalogue


def reading_at(columns: Columns, row: int, catalogue: SeriesCatalogue) -> Reading:
    """Return one row as an object."""
    series = catalogue.get(int(columns.series[row]))
    return Reading(
        series.entity_id,
        series.entity_type,
        series.property,
        float(columns.value[row]),
        int(columns.observed_at_us[row]),
        device_id=series.device_id,
    )


def expand(batch: LogBatch, catalogue: SeriesCatalogue) -> LogBatch:
    """Return the batch with objects instead of columns, for consumers that take no columns."""
    columns = batch.columns
    if columns is None:
        return batch
    get = catalogue.get
    readings = tuple(
        Reading(one.entity_id, one.entity_type, one.property, value, at_us, device_id=one.device_id)
        for one, at_us, value in zip(
            map(get, columns.series.tolist()), columns.observed_at_us.tolist(), columns.value.tolist(), strict=True
        )
    )
    return structs.replace(batch, readings=batch.readings + readings, columns=None)
