"""The checks that need no memory: types, clock, device, vocabulary. What fails becomes a reject, never an exception."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.expansion import reading_at
from gulou.connectivity.intake.kernels import screen_rows
from gulou.connectivity.intake.model import ColumnSubmission, Flaw, Payload, Reading, Submission, Value
from gulou.connectivity.intake.ports import Checks, DeviceGate
from gulou.connectivity.intake.record import RejectedPart
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.connectivity.intake.settings import IntakeSettings
from gulou.kernel.clock import SECOND_US, to_rfc3339
from gulou.kernel.errors import Fault, Invalid

EARLIEST_US = 631_152_000 * SECOND_US
"""1990-01-01: a clock that says less was never set."""

KINDS = frozenset({"Property", "GeoProperty", "Relationship", "LanguageProperty"})
_ID_LENGTH = 512
_TEXT_LENGTH = 1_024
_KNOWN_IDS = 200_000
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Screened:
    """A submission after screening; the commit thread may still move readings to the rejects (duplicates)."""

    __slots__ = ("kept", "payload_of", "raw_of", "raws", "readings", "rejected")

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.payload_of: list[Payload] = []
        """The payload of each reading, by index."""
        self.raws: list[bytes] = []
        self.raw_of: dict[int, int] = {}
        """Index in ``raws`` by the identity of a payload; ``kept`` keeps it from being given to another."""
        self.kept: list[Payload] = []
        self.rejected: list[RejectedPart] = []


class _Limits:
    """The vocabulary's limits as arrays by kind of series; made anew when either has changed. Safe from any thread."""

    def __init__(self, vocabulary: Checks) -> None:
        self._ask: Callable[[str, str], tuple[float, float] | None] | None = getattr(vocabulary, "limits", None)
        self._vocabulary = vocabulary
        nothing = np.empty(0)
        self._known: tuple[object, NDArray[np.float64], NDArray[np.float64]] = (None, nothing, nothing)

    def of(self, series: SeriesCatalogue) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (lowest, highest) by kind; NaN where ``check`` must be asked."""
        generation = getattr(self._vocabulary, "generation", None)
        known = self._known
        if known[0] != generation or len(known[1]) != series.kind_count():
            kinds = series.kinds()
            limits = np.full((2, len(kinds)), np.nan)
            for index, (entity_type, property_name) in enumerate(kinds):
                found = None if self._ask is None else self._ask(entity_type, property_name)
                if found is not None:
                    limits[:, index] = found
            known = self._known = (generation, limits[0].copy(), limits[1].copy())
        return known[1], known[2]


class Screen:
    """Checks each reading by itself; safe from any thread.

    Args:
        devices: None where no registry exists (tests): every device may report everything.
    """

    def __init__(self, vocabulary: Checks, devices: DeviceGate | None, settings: IntakeSettings) -> None:
        self._check = vocabulary.check
        self._limits = _Limits(vocabulary)
        self._refusal = devices.refusal if devices is not None else None
        self._seen = devices.seen if devices is not None else None
        self._settings = settings
        self._ids: set[str] = set()

    def screen(self, submission: Submission, now_us: int) -> Screened:
        """Check everything in a submission."""
        screened = Screened()
        latest_us = now_us + int(self._settings.future_s * SECOND_US)
        for payload in submission.payloads:
            for reading in payload.readings:
                try:
                    sound = self._sound(reading, payload, now_us, latest_us)
                except Invalid as error:
                    self.reject(screened, payload, Flaw(error.code, error.params, _place(reading)))
                else:
                    screened.readings.append(sound)
                    screened.payload_of.append(payload)
            for flaw in payload.flaws:
                self.reject(screened, payload, flaw)
            if payload.device_id is not None and self._seen is not None:
                self._seen(payload.device_id, now_us)
        return screened

    def screen_columns(
        self, submission: ColumnSubmission, series: SeriesCatalogue, now_us: int
    ) -> tuple[Screened, Columns, NDArray[np.intp] | None]:
        """Check rows.

        Returns:
            What was rejected, the rows that passed, and their places among all rows (None: all passed).

        Raises:
            Fault: ``intake.series_unknown``: the adapter made up a number.
        """
        screened, columns = Screened(), submission.columns
        passed = np.empty(len(columns), np.uint8)
        latest_us = now_us + int(self._settings.future_s * SECOND_US)
        lowest, highest = self._limits.of(series)
        failed = screen_rows(
            columns.series,
            columns.observed_at_us,
            columns.value,
            series.kind_of(),
            lowest,
            highest,
            EARLIEST_US,
            latest_us,
            passed,
        )
        if not failed:
            return screened, columns, None
        for row in np.flatnonzero(passed == 0).tolist():
            flaw = self._flaw_of(columns, row, series, now_us, latest_us)
            if flaw is None:
                passed[row] = 1
            else:
                self.reject(screened, submission.raw_of(row), flaw)
        rows = np.flatnonzero(passed)
        return (screened, columns, None) if len(rows) == len(columns) else (screened, columns.take(rows), rows)

    def _flaw_of(self, columns: Columns, row: int, series: SeriesCatalogue, now_us: int, latest_us: int) -> Flaw | None:
        """Check one row as an object is checked; None: it is sound after all."""
        number = int(columns.series[row])
        if not 0 <= number < len(series):
            raise Fault("intake.series_unknown", number=number, known=len(series))
        reading = reading_at(columns, row, series)
        kind, name, value = reading.entity_type, reading.property, reading.value
        try:
            self._in_time(reading.observed_at_us, now_us, latest_us)
            if type(value) is float and not isfinite(value):
                raise Invalid("reading.not_a_number", type=kind, property=name, value=str(value))
            self._check(kind, name, value, None)
        except Invalid as error:
            return Flaw(error.code, error.params, _place(reading))
        return None

    def reject(self, screened: Screened, payload: Payload, flaw: Flaw) -> None:
        """Add a reject with the payload's raw bytes, which are kept once however many flaws it has."""
        index = screened.raw_of.get(id(payload))
        if index is None:
            index = screened.raw_of[id(payload)] = len(screened.raws)
            screened.kept.append(payload)
            screened.raws.append(bytes(payload.raw[: self._settings.keep_raw_bytes]))
        screened.rejected.append(
            RejectedPart(
                payload=index,
                device_id=None if payload.device_id is None else _text(payload.device_id),
                address=_text(payload.address),
                code=_text(flaw.code),
                params=_plain(flaw.params),
                where=_text(flaw.where),
            )
        )

    def _sound(self, reading: Reading, payload: Payload, now_us: int, latest_us: int) -> Reading:
        """Return the reading as it will be stored.

        Raises:
            Invalid: with the reason code of the reject.
        """
        at_us = reading.observed_at_us
        self._in_time(at_us, now_us, latest_us)
        entity_id = reading.entity_id
        if entity_id not in self._ids:
            self._learn_id(entity_id)
        device_id = reading.device_id or payload.device_id
        if device_id is not None and self._refusal is not None:
            refusal = self._refusal(device_id, entity_id, reading.property)
            if refusal is not None:
                raise Invalid(refusal, device_id=device_id, entity_id=entity_id, property=reading.property)
        if reading.kind != "Property" or reading.flags or reading.dataset_id is not None:
            self._check_rare(reading)
        value = reading.value
        if type(value) is not float:
            value = self._storable(value)
        elif not isfinite(value):
            raise Invalid("reading.not_a_number", type=reading.entity_type, property=reading.property, value=str(value))
        checked = self._check(reading.entity_type, reading.property, value, reading.unit_code)
        if checked is reading.value and reading.unit_code is None and reading.device_id == device_id:
            return reading
        return Reading(
            entity_id,
            reading.entity_type,
            reading.property,
            checked,
            at_us,
            None,
            reading.dataset_id,
            device_id,
            reading.kind,
            reading.flags,
        )

    def _in_time(self, at_us: int, now_us: int, latest_us: int) -> None:
        if type(at_us) is not int:
            raise Invalid("time.unreadable", value=str(at_us))
        if at_us > latest_us:
            raise Invalid("clock.future", observed_at=_shown(at_us), received_at=to_rfc3339(now_us))
        if at_us < EARLIEST_US:
            raise Invalid("clock.past", observed_at=_shown(at_us), earliest=to_rfc3339(EARLIEST_US))

    def _learn_id(self, entity_id: str) -> None:
        _check_id(entity_id)
        if len(self._ids) >= _KNOWN_IDS:
            self._ids.clear()
        self._ids.add(entity_id)

    def _check_rare(self, reading: Reading) -> None:
        if reading.kind not in KINDS:
            raise Invalid("intake.kind_unknown", kind=_text(str(reading.kind)))
        if reading.dataset_id is not None:
            _check_id(reading.dataset_id)
        flags = reading.flags
        if type(flags) is not tuple or len(flags) > 16 or any(_text(str(flag)) != flag for flag in flags):
            raise Invalid("intake.flags_malformed", flags=_text(str(flags)))

    def _storable(self, value: Value) -> Value:
        """Refuse what the log cannot hold, so that the commit thread never meets it."""
        if type(value) is bool:
            return value
        if type(value) is int:
            return value if -(2**63) <= value < 2**63 else float(value) if abs(value) < 10**300 else _unstorable(value)
        try:
            size = len(msgspec.msgpack.encode(value))
        except _UNENCODABLE:
            return _unstorable(value)
        if size > self._settings.max_value_bytes:
            raise Invalid("intake.value_too_long", bytes=size, limit=self._settings.max_value_bytes)
        if not isinstance(value, (str, dict, list)):
            return _unstorable(value)
        return value


def _check_id(entity_id: str) -> None:
    sound = (
        isinstance(entity_id, str)
        and len(entity_id) <= _ID_LENGTH
        and entity_id.startswith(("urn:", "http://", "https://"))
        and entity_id.isprintable()
        and " " not in entity_id
    )
    if not sound:
        raise Invalid("id.malformed", id=_text(str(entity_id)))


def _unstorable(value: object) -> Value:
    raise Invalid("intake.value_unstorable", kind=type(value).__name__)


def _place(reading: Reading) -> str:
    return f"{reading.entity_id} {reading.property}"


def _shown(at_us: int) -> str:
    try:
        return to_rfc3339(at_us)
    except OverflowError:
        return f"{at_us} µs"


def _text(value: object) -> str:
    """Cut a text, and replace what is not UTF-8 (and NUL), so that every store can hold it."""
    return str(value)[:_TEXT_LENGTH].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters that can be written; short scalars stay as they are, anything else becomes a text."""
    return {
        _text(name): value if value is None or isinstance(value, bool) or _is_number(value) else _text(value)
        for name, value in list(params.items())[:20]
    }


def _is_number(value: object) -> bool:
    return (type(value) is float and isfinite(value)) or (type(value) is int and -(2**63) <= value < 2**63)
