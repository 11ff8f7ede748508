"""The load of ``gulou bench recover``, in its own process: senders that never give up, and remember what was answered.

Each sensor sends its next reading only when the one before is acknowledged, so that its order is known whatever happens
in between. Standard input: one JSON line with the orders, then an empty line to end; standard output: the result.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import Any

import httpx
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from gulou.kernel.clock import SystemClock, to_rfc3339

_ANSWER_WITHIN_S = 5.0
_PAUSE_S = 0.2
_HTTP_BATCH = 20
_END_WITHIN_S = 90.0


class LoadOrder(msgspec.Struct, frozen=True):
    """Where to send, as whom, and what.

    Args:
        sensors: send values below every limit over MQTT; ``probes`` cross the limit with every other reading.
        batches: devices that send over HTTP, each with its secret.
        pause_s: what a sensor waits between an acknowledgement and its next reading.
    """

    host: str
    mqtt_port: int
    http_url: str
    gateway: str
    secret: str
    sensors: list[str]
    probes: list[str]
    batches: dict[str, str]
    pause_s: float


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """One acknowledged reading; ``at_us`` in µs since the Unix epoch, UTC."""

    sensor: str
    at_us: int
    value: float


class LoadResult(msgspec.Struct, frozen=True):
    """What was acknowledged, in order for each sensor, and how many readings never were."""

    acknowledged: list[Sent]
    unanswered: int


class _Teller:
    """Times that grow for each sensor, and values: whole milliseconds, so that they survive every format."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._last: dict[str, int] = {}
        self._count: dict[str, int] = {}

    def next(self, sensor: str, *, crosses: bool) -> Sent:
        at_us = max(self._clock.now_us() // 1_000 * 1_000, self._last.get(sensor, 0) + 1_000)
        count = self._count[sensor] = self._count.get(sensor, 0) + 1
        self._last[sensor] = at_us
        small = count % 1_000 / 1_000
        return Sent(sensor, at_us, 3.0 + small if crosses and count % 2 == 0 else 1.0 * small)


class Load:
    """Both ways of sending, until ``end``."""

    def __init__(self, order: LoadOrder) -> None:
        self._order = order
        self._teller = _Teller()
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self._acknowledged: list[Sent] = []
        self._waiting: dict[int, Sent] = {}
        self._early: set[int] = set()
        """Acknowledged before the sender knew the number."""
        self._due: deque[tuple[float, str]] = deque((0.0, name) for name in (*order.sensors, *order.probes))
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=order.gateway, clean_session=False, reconnect_on_failure=True
        )
        self._client.username_pw_set(order.gateway, order.secret)
        self._client.max_inflight_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._threads = [
            threading.Thread(target=self._send_mqtt, daemon=True),
            *(
                threading.Thread(target=self._send_http, args=(device, secret), daemon=True)
                for device, secret in order.batches.items()
            ),
        ]

    def start(self) -> None:
        self._client.connect_async(self._order.host, self._order.mqtt_port, keepalive=10)
        self._client.loop_start()
        for thread in self._threads:
            thread.start()

    def end(self) -> LoadResult:
        """Send nothing new, wait for what is on its way."""
        self._ending.set()
        for thread in self._threads:
            thread.join(_END_WITHIN_S)
        deadline = time.monotonic() + _END_WITHIN_S
        while self._waiting and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        self._client.disconnect()
        self._client.loop_stop()
        with self._guard:
            return LoadResult(list(self._acknowledged), len(self._waiting))

    def _send_mqtt(self) -> None:
        probes = frozenset(self._order.probes)
        while not self._ending.is_set():
            with self._guard:
                due, sensor = self._due.popleft() if self._due else (time.monotonic() + _PAUSE_S / 20, "")
            if (wait_s := due - time.monotonic()) > 0:
                self._ending.wait(wait_s)
            if not sensor or self._ending.is_set():
                continue
            sent = self._teller.next(sensor, crosses=sensor in probes)
            mid = self._client.publish(f"gulou/{sensor}/readings", _payload(sent), qos=1).mid
            with self._guard:  # never while publishing: the client answers under a lock that publishing wants
                if mid in self._early:
                    self._early.remove(mid)
                    self._note(sent)
                else:
                    self._waiting[mid] = sent

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self._guard:
            sent = self._waiting.pop(mid, None)
            if sent is None:
                self._early.add(mid)
            else:
                self._note(sent)

    def _note(self, sent: Sent) -> None:
        """Take an acknowledgement, and let the sensor send again; with the guard held."""
        self._acknowledged.append(sent)
        self._due.append((time.monotonic() + self._order.pause_s, sent.sensor))

    def _send_http(self, device: str, secret: str) -> None:
        with httpx.Client(auth=(device, secret), timeout=_ANSWER_WITHIN_S, trust_env=False) as client:
            while not self._ending.is_set():
                batch = [self._teller.next(device, crosses=False) for _ in range(_HTTP_BATCH)]
                body = b"[" + b",".join(map(_payload, batch)) + b"]"
                while not self._is_taken(client, body):
                    time.sleep(_PAUSE_S)
                with self._guard:
                    self._acknowledged += batch
                self._ending.wait(self._order.pause_s)

    def _is_taken(self, client: httpx.Client, body: bytes) -> bool:
        """Send one body; a repetition whose readings are known already is taken too."""
        try:
            answer = client.post(
                f"{self._order.http_url}/ingest/v1/readings", content=body, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def _payload(sent: Sent) -> bytes:
    return msgspec.json.encode({"waterLevel": sent.value, "observedAt": to_rfc3339(sent.at_us)})


def main() -> None:
    """Load until standard input says to end."""
    load = Load(msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadOrder))
    load.start()
    sys.stdin.buffer.readline()
    sys.stdout.buffer.write(msgspec.json.encode(load.end()) + b"\n")


if __name__ == "__main__":
    main()
