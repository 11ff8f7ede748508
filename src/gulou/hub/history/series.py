"""What the history knows of each series in memory: its names as Arrow arrays, its newest reading."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_digest

from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue
from gulou.hub.history.block import join_key
from gulou.hub.history.columns import split_value
from gulou.hub.history.kernels import NEVER_US, mark_rows
from gulou.kernel.writing import write_evenly

Key = tuple[str, str, str, str | None]
"""Entity type, entity id, property, dataset id."""
_FIELDS = ("entity_type", "entity_id", "property", "device_id")


class SeriesNames:
    """The catalogue's series as Arrow arrays by number, and their place in the lake's order. Safe from any thread."""

    def __init__(self, catalogue: SeriesCatalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._arrays = {name: pa.array([], pa.string()) for name in _FIELDS}
        self._ranks: NDArray[np.int32] = np.empty(0, np.int32)

    def upto(self, count: int) -> dict[str, pa.Array]:
        """Return ``entity_type``, ``entity_id``, ``property``, ``device_id`` of at least the first ``count`` series."""
        with self._lock:
            known = len(self._arrays["entity_id"])
            if known < count:
                if len(self._catalogue) < count:
                    self._catalogue.refresh()
                fresh = [self._catalogue.get(number) for number in range(known, len(self._catalogue))]
                more = {
                    "entity_type": [one.entity_type for one in fresh],
                    "entity_id": [one.entity_id for one in fresh],
                    "property": [one.property for one in fresh],
                    "device_id": [one.device_id for one in fresh],
                }
                self._arrays = {
                    name: pa.concat_arrays([held, pa.array(more[name], pa.string())])
                    for name, held in self._arrays.items()
                }
            return self._arrays

    def ranks(self, count: int) -> NDArray[np.int32]:
        """Return each series' place in the lake's order, for at least the first ``count`` of them."""
        names = self.upto(count)
        ranks = self._ranks
        if len(ranks) < count:
            absent = pa.nulls(len(names["entity_id"]), pa.string())
            keys = join_key(names["entity_type"], names["property"], names["entity_id"], absent)
            order = pc.sort_indices(keys).to_numpy()
            ranks = np.empty(len(order), np.int32)
            ranks[order] = np.arange(len(order), dtype=np.int32)
            self._ranks = ranks
        return ranks


class _Newest(msgspec.Struct, array_like=True):
    """The newest reading of a series that came as an object and has no number."""

    at_us: int
    number: float | None
    text: str | None


class _Kept(msgspec.Struct, frozen=True):
    """What ``SeriesTimes.save`` writes."""

    position: int
    count: int
    samples: list[str]
    floor_us: int | None
    newest_us: bytes
    newest: bytes
    texts: dict[int, tuple[int, str]]
    objects: list[tuple[Key, _Newest]]


class SeriesTimes:
    """The newest time and value of each series: tells a reading that may replace an earlier one, and answers "latest".

    A series not known since the start only makes more readings "late", which costs time in a query and is never wrong.
    One thread marks; any thread reads.

    Args:
        floor_us: newest time of any series that is not listed one by one; None when all are.
    """

    def __init__(self, catalogue: SeriesCatalogue, floor_us: int | None = None) -> None:
        self._catalogue = catalogue
        self._floor_us = floor_us
        self._count = 0
        self._newest_us = np.full(1024, NEVER_US if floor_us is None else floor_us, np.int64)
        self._newest = np.full(1024, np.nan)
        self._texts: dict[int, tuple[int, str]] = {}
        self._objects: dict[Key, _Newest] = {}
        self._lock = threading.Lock()

    @property
    def complete(self) -> bool:
        """Whether every series of the lake is known."""
        return self._floor_us is None

    def learn(self, key: Key, newest_us: int, number: float | None, text: str | None) -> None:
        """Take what is in the lake already."""
        with self._lock:
            self._put(key, newest_us, number, text)

    def mark_columns(self, columns: Columns) -> tuple[NDArray[np.int8], bool]:
        """Return 2 for each late row, 0 for the others, and whether there are any; remember the new times."""
        late = np.empty(len(columns), np.int8)
        if not len(columns):
            return late, False
        series, at_us, value = columns.series, columns.observed_at_us, columns.value
        given = [np.ascontiguousarray(one) for one in (series, at_us, value)]
        if not all(one.flags.writeable for one in given):
            given = [_readonly(one) for one in given]
        with self._lock:
            self._grow(int(series.max()) + 1)
            any_late = mark_rows(given[0], given[1], given[2], self._newest_us, self._newest, late) > 0
        return late, any_late

    def mark_objects(self, batch: LogBatch) -> list[int]:
        """Return 1 for each late reading among a batch's objects, 0 for the others, and remember the new times."""
        with self._lock:
            return [
                self._put(
                    (one.entity_type, one.entity_id, one.property, one.dataset_id),
                    one.observed_at_us,
                    *split_value(one.value),
                )
                for one in batch.readings
            ]

    def table(self, names: SeriesNames) -> pa.Table:
        """Return the newest reading of every series known: its names, ``observed_at``, ``value``, ``text``."""
        with self._lock:
            count = self._count
            at_us, value = self._newest_us[:count].copy(), self._newest[:count].copy()
            texts, objects = dict(self._texts), list(self._objects.items())
        known = np.flatnonzero(at_us != (NEVER_US if self._floor_us is None else self._floor_us))
        arrays = names.upto(count)
        rows = pa.array(known)
        missing = np.isnan(value[known])
        numbered = {
            **{name: arrays[name].take(rows) for name in ("entity_type", "entity_id", "property")},
            "dataset_id": pa.nulls(len(known), pa.string()),
            "observed_at": pa.array(at_us[known]).cast(_TIME),
            "value": pa.array(value[known], mask=missing),
            "text": _texts_of(known, missing, at_us, texts),
        }
        others = {
            **{name: [key[n] for key, _ in objects] for n, name in enumerate(LATEST_SCHEMA.names[:4])},
            "observed_at": pa.array([one.at_us for _, one in objects], pa.int64()).cast(_TIME),
            "value": [one.number for _, one in objects],
            "text": [one.text for _, one in objects],
        }
        return pa.concat_tables([pa.table(numbered, schema=LATEST_SCHEMA), pa.table(others, schema=LATEST_SCHEMA)])

    def save(self, path: Path, position: int) -> None:
        """Write everything to a file, whole or not at all, as the state at log sequence ``position``."""
        with self._lock:
            count = self._count
            kept = _Kept(
                position, count, self._samples(count), self._floor_us, self._newest_us[:count].tobytes(),
                self._newest[:count].tobytes(), dict(self._texts), list(self._objects.items()),
            )  # fmt: skip
        body = msgspec.msgpack.encode(kept)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            write_evenly(file, (xxh3_64_digest(body), body))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def load(self, path: Path) -> int | None:
        """Take what ``save`` wrote; return its position, or None when there is nothing that can be used."""
        if not path.exists():
            return None
        whole = path.read_bytes()
        if xxh3_64_digest(whole[8:]) != whole[:8]:
            return None
        try:
            kept = msgspec.msgpack.decode(whole[8:], type=_Kept)
        except msgspec.DecodeError:
            return None
        if kept.count > len(self._catalogue) or kept.samples != self._samples(kept.count):
            return None  # numbers of another catalogue
        self._floor_us = kept.floor_us
        self._count = kept.count
        self._newest_us = np.frombuffer(kept.newest_us, np.int64).copy()
        self._newest = np.frombuffer(kept.newest, np.float64).copy()
        self._texts, self._objects = kept.texts, dict(kept.objects)
        return kept.position

    def __len__(self) -> int:
        return self._count + len(self._objects)

    def _put(self, key: Key, at_us: int, number: float | None, text: str | None) -> int:
        place = self._catalogue.find(key[1], key[2]) if key[3] is None else None
        if place is None or self._catalogue.get(place).entity_type != key[0]:
            held = self._objects.get(key)
            known = self._floor_us if held is None else held.at_us
            if known is None or at_us >= known:
                self._objects[key] = _Newest(at_us, number, text)
            return int(known is not None and at_us <= known)
        self._grow(place + 1)
        known = int(self._newest_us[place])
        if at_us >= known:
            self._newest_us[place] = at_us
            self._newest[place] = np.nan if text is not None or number is None else number
            if text is not None:
                self._texts[place] = at_us, text
        return int(at_us <= known)

    def _grow(self, count: int) -> None:
        """Make room for series; one that came as objects before it had a number keeps what is known of it."""
        if count <= self._count:
            return
        if len(self._catalogue) < count:
            self._catalogue.refresh()
        if count > len(self._newest_us):
            more = max(count, 2 * len(self._newest_us)) - len(self._newest_us)
            never = NEVER_US if self._floor_us is None else self._floor_us
            self._newest_us = np.concatenate((self._newest_us, np.full(more, never, np.int64)))
            self._newest = np.concatenate((self._newest, np.full(more, np.nan)))
        before, self._count = self._count, count
        if self._objects:
            for number in range(before, count):
                one = self._catalogue.get(number)
                held = self._objects.pop((one.entity_type, one.entity_id, one.property, None), None)
                if held is not None:
                    self._put((one.entity_type, one.entity_id, one.property, None), held.at_us, held.number, held.text)

    def _samples(self, count: int) -> list[str]:
        places = [0, count // 2, count - 1] if count else []
        return [f"{one.entity_id} {one.property}" for one in map(self._catalogue.get, places)]


_TIME = pa.timestamp("us", tz="UTC")
LATEST_SCHEMA = pa.schema(
    [
        ("entity_type", pa.string()),
        ("entity_id", pa.string()),
        ("property", pa.string()),
        ("dataset_id", pa.string()),
        ("observed_at", _TIME),
        ("value", pa.float64()),
        ("text", pa.string()),
    ]
)


def _readonly(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _texts_of(
    known: NDArray[Any], missing: NDArray[np.bool_], at_us: NDArray[np.int64], texts: dict[int, tuple[int, str]]
) -> pa.Array:
    if not texts:
        return pa.nulls(len(known), pa.string())
    found: list[str | None] = [None] * len(known)
    for place in np.flatnonzero(missing).tolist():
        number = int(known[place])
        when, text = texts.get(number, (None, None))
        found[place] = text if when == at_us[number] else None
    return pa.array(found, pa.string())


def learn_all(
    times: SeriesTimes, rows: Iterable[tuple[str, str, str, str | None, int, float | None, str | None]]
) -> None:
    """Feed (type, entity, property, dataset, newest time, its number, its text) of what is in the lake."""
    for entity_type, entity_id, name, dataset_id, newest_us, number, text in rows:
        times.learn((entity_type, entity_id, name, dataset_id), newest_us, number, text)
