"""The load generator of ``gulou bench ingest``, a process of its own.

Reads one JSON ``SendOrder`` a line from standard input, answers each with a ``SendResult`` line. Bodies are made once;
before a body goes out its times are written over in place, so that no reading is ever a duplicate.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gulou.kernel.clock import to_rfc3339

TYPE, PROPERTY = "WeatherObserved", "temperature"  # which no rule of the built-in packs judges
_CONTENT = {
    "arrow": "application/vnd.apache.arrow.stream",
    "line": "text/plain",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
_TIMEOUT_S = 120.0
_AGAIN_S = 0.02
_SENTINEL_US = 4_611_686_018_427_387_904 // 3


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One period of load.

    Args:
        url: where to POST.
        authorization: header, or None.
        seconds: how long; 0: each body once, which makes the series known.
    """

    url: str
    authorization: str | None
    form: str
    series: int
    rows: int
    connections: int
    seconds: float


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender saw.

    Args:
        acknowledged: readings that answers called stored (or, where they do not say, those of a success).
        refused: answers that told to come again; those bodies were sent again.
        failed: readings in answers of any other kind, and those that answers called rejected.
        busy_s: processor time of this process.
    """

    acknowledged: int
    requests: int
    refused: int
    failed: int
    seconds: float
    request_ms: list[float]
    body_bytes: int
    busy_s: float
    problem: str = ""


class Body:
    """One request's bytes, and where its times stand in them."""

    _text: Callable[[int], bytes] | None = None
    _data: bytearray
    _times: NDArray[np.int64] | NDArray[np.uint8]

    def __init__(self, form: str, numbers: range, seed: int) -> None:
        self.rows = len(numbers)
        level = np.random.default_rng(seed).integers(1_000, 9_999, len(numbers)) / 1_000
        ids = [f"urn:ngsi-ld:{TYPE}:bench-{number:07d}" for number in numbers]
        make: Callable[[list[str], NDArray[np.float64]], None] = {
            "arrow": self._arrow,
            "line": self._line,
            "json": self._json,
            "ndjson": self._ndjson,
        }[form]
        make(ids, level)

    def stamp(self, at_us: int) -> memoryview:
        """Write a time into every row; return the bytes to send."""
        if self._text is None:
            self._times[:] = at_us
        else:
            self._times[:] = np.frombuffer(self._text(at_us), np.uint8)
        return memoryview(self._data)

    def _arrow(self, ids: list[str], level: NDArray[np.float64]) -> None:
        batch = pa.record_batch(
            {
                "entity": pa.array(ids).dictionary_encode(),
                "property": pa.array([PROPERTY] * len(ids)).dictionary_encode(),
                "value": pa.array(level),
                "observedAt": pa.array(np.full(len(ids), _SENTINEL_US), pa.timestamp("us", "UTC")),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        raw = bytearray(sink.getvalue().to_pybytes())
        at = raw.find(np.full(len(ids), _SENTINEL_US, "<i8").tobytes())
        self._data = raw
        self._times = np.frombuffer(raw, "<i8", len(ids), at)

    def _line(self, ids: list[str], level: NDArray[np.float64]) -> None:
        lines = [
            f"{TYPE},entity={one} {PROPERTY}={value:.3f} {0:019d}\n" for one, value in zip(ids, level, strict=True)
        ]
        self._rows("".join(lines), len(lines[0]), len(lines[0]) - 20, lambda at_us: b"%019d" % (at_us * 1_000))

    def _json(self, ids: list[str], level: NDArray[np.float64]) -> None:
        rows = self._json_rows(ids, level)
        self._rows("[" + ",".join(rows) + "]", len(rows[0]) + 1, 1 + rows[0].index("2000-"), _moment)

    def _ndjson(self, ids: list[str], level: NDArray[np.float64]) -> None:
        rows = self._json_rows(ids, level)
        self._rows("\n".join(rows) + "\n", len(rows[0]) + 1, rows[0].index("2000-"), _moment)

    @staticmethod
    def _json_rows(ids: list[str], level: NDArray[np.float64]) -> list[str]:
        return [
            f'{{"entity":"{one}","property":"{PROPERTY}","value":{value:.3f},"observedAt":"2000-01-01T00:00:00.000000Z"}}'
            for one, value in zip(ids, level, strict=True)
        ]

    def _rows(self, text: str, stride: int, at: int, written: Callable[[int], bytes]) -> None:
        """Rows of one length: the times are a column of the bytes."""
        self._data = bytearray(text.encode())
        width = len(written(1_780_000_000_000_001))
        flat = np.frombuffer(self._data, np.uint8)
        self._text = written
        self._times = np.lib.stride_tricks.as_strided(flat[at:], (self.rows, width), (stride, 1), writeable=True)


def _moment(at_us: int) -> bytes:
    return to_rfc3339(at_us if at_us % 1_000_000 else at_us + 1).encode()


class Sender(threading.Thread):
    """One connection with bodies of its own; sends one after the other."""

    def __init__(self, order: SendOrder, bodies: list[Body], stop_at: float) -> None:
        super().__init__(daemon=True)
        self._order, self._bodies, self._stop_at = order, bodies, stop_at
        self.acknowledged = self.requests = self.refused = self.failed = 0
        self.took_ms: list[float] = []
        self.problem = ""

    def run(self) -> None:
        place = urlsplit(self._order.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT_S)
        path = f"{place.path}?{place.query}" if place.query else place.path
        headers = {"Content-Type": _CONTENT[self._order.form]}
        if self._order.authorization is not None:
            headers["Authorization"] = self._order.authorization
        try:
            connection.connect()
            once = self._order.seconds == 0
            while self._bodies:
                for body in self._bodies:
                    if not once and time.perf_counter() >= self._stop_at:
                        return
                    self._send(connection, path, headers, body)
                if once:
                    return
        except OSError as error:
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, path: str, headers: dict[str, str], body: Body) -> None:
        begun = time.perf_counter()
        while True:
            connection.request("POST", path, body.stamp(time.time_ns() // 1_000), headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status not in (429, 503):
                break
            self.refused += 1
            time.sleep(_AGAIN_S)
        self.requests += 1
        self.took_ms.append((time.perf_counter() - begun) * 1e3)
        if answer.status == 204:
            self.acknowledged += body.rows
        elif answer.status == 200:
            told = msgspec.json.decode(content)
            self.acknowledged += told["stored"]
            self.failed += body.rows - told["stored"]
            if told["problems"]:
                self.problem = told["problems"][0]["text"]
        else:
            self.failed += body.rows
            self.problem = content[:300].decode(errors="replace")


class Load:
    """Keeps the bodies from one order to the next, where they are the same."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int] | None = None
        self._bodies: list[Body] = []

    def run(self, order: SendOrder) -> SendResult:
        """Send for a while."""
        key = (order.form, order.series, order.rows)
        if key != self._key:
            starts = range(0, order.series, order.rows)
            self._bodies = [
                Body(order.form, range(start, min(start + order.rows, order.series)), start) for start in starts
            ]
            self._key = key
        busy_s, begun = time.process_time(), time.perf_counter()
        senders = [
            Sender(order, self._bodies[number :: order.connections], begun + order.seconds)
            for number in range(order.connections)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        took_s = time.perf_counter() - begun
        return SendResult(
            acknowledged=sum(sender.acknowledged for sender in senders),
            requests=sum(sender.requests for sender in senders),
            refused=sum(sender.refused for sender in senders),
            failed=sum(sender.failed for sender in senders),
            seconds=took_s,
            request_ms=[took for sender in senders for took in sender.took_ms],
            body_bytes=len(self._bodies[0].stamp(0)) if self._bodies else 0,
            busy_s=time.process_time() - busy_s,
            problem=next((sender.problem for sender in senders if sender.problem), ""),
        )


def main() -> None:
    """Answer orders until standard input ends."""
    load = Load()
    for line in sys.stdin.buffer:
        result = load.run(msgspec.json.decode(line, type=SendOrder))
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
