"""What every adapter counts. received = accepted + rejected + dropped, at every moment."""

from __future__ import annotations

import threading
from bisect import bisect_left

import msgspec

from gulou.connectivity.intake import Receipt

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper edges of the latency histogram, seconds; the last bucket is open."""


class CounterValues(msgspec.Struct, frozen=True):
    """A consistent copy of the counters.

    Args:
        throttled: times that the reading of a device paused because it sent too much.
        cut_off: devices disconnected because they did not read what they were sent.
        relayed: messages passed on from device to device, one for each receiver.
        relay_dropped: such messages given up for lack of room.
        wills: wills carried out.
        latency: counts by bucket of ``BUCKETS_S``, from bytes read to durable, one per submission.
        latency_sum_s: sum of the same, seconds.
    """

    received: int
    accepted: int
    rejected: int
    dropped: int
    connections: int
    connections_total: int
    refused: int
    protocol_errors: int
    commands_sent: int
    commands_answered: int
    latency: tuple[int, ...]
    latency_sum_s: float
    throttled: int = 0
    cut_off: int = 0
    relayed: int = 0
    relay_dropped: int = 0
    wills: int = 0


class Counters:
    """Counters of one adapter, safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(
            (
                "accepted",
                "rejected",
                "dropped",
                "connections",
                "connections_total",
                "refused",
                "protocol_errors",
                "commands_sent",
                "commands_answered",
                "throttled",
                "cut_off",
                "relayed",
                "relay_dropped",
                "wills",
            ),
            0,
        )
        self._latency = [0] * (len(BUCKETS_S) + 1)
        self._latency_sum_s = 0.0

    def took(self, receipt: Receipt, took_s: float) -> None:
        """Count a submission that is durable; ``took_s`` is the time from its bytes to its receipt."""
        with self._lock:
            self._counts["accepted"] += receipt.stored
            self._counts["rejected"] += receipt.rejected
            self._latency[bisect_left(BUCKETS_S, took_s)] += 1
            self._latency_sum_s += took_s

    def dropped(self, count: int) -> None:
        """Count readings that were given up; the caller also tells the intake."""
        with self._lock:
            self._counts["dropped"] += count

    def opened(self) -> None:
        """Count a connection that was let in."""
        with self._lock:
            self._counts["connections"] += 1
            self._counts["connections_total"] += 1

    def closed(self) -> None:
        """Count the end of a connection that was let in."""
        with self._lock:
            self._counts["connections"] -= 1

    def refused(self) -> None:
        """Count a connection or request that was not let in: wrong secret, too many."""
        with self._lock:
            self._counts["refused"] += 1

    def protocol_error(self) -> None:
        """Count a connection that was closed because it did not keep to the protocol."""
        with self._lock:
            self._counts["protocol_errors"] += 1

    def command_sent(self) -> None:
        """Count a command that was handed to a device."""
        with self._lock:
            self._counts["commands_sent"] += 1

    def command_answered(self) -> None:
        """Count a device's answer to a command."""
        with self._lock:
            self._counts["commands_answered"] += 1

    def throttled(self) -> None:
        """Count that a device's reading paused because it sent too much."""
        with self._lock:
            self._counts["throttled"] += 1

    def cut_off(self) -> None:
        """Count a device that was disconnected because it did not read."""
        with self._lock:
            self._counts["cut_off"] += 1

    def relayed(self, count: int) -> None:
        """Count a message that is passed on to so many devices."""
        with self._lock:
            self._counts["relayed"] += count

    def relay_dropped(self) -> None:
        """Count a message to a device that was given up for lack of room."""
        with self._lock:
            self._counts["relay_dropped"] += 1

    def will(self) -> None:
        """Count a will that was carried out."""
        with self._lock:
            self._counts["wills"] += 1

    def values(self) -> CounterValues:
        """Copy them."""
        with self._lock:
            counts = dict(self._counts)
            received = counts["accepted"] + counts["rejected"] + counts["dropped"]
            return CounterValues(
                received=received, latency=tuple(self._latency), latency_sum_s=self._latency_sum_s, **counts
            )
