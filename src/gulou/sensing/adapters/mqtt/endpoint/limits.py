"""Who may connect how often, and how much one device may send: token buckets, all of them bounded in number."""

from __future__ import annotations

from collections import OrderedDict

_MOST_ADDRESSES = 65_536


class Bucket:
    """Tokens that come back with time; what is taken beyond them is a debt that has to be waited for.

    Args:
        rate: tokens a second.
        burst: most tokens that gather.
    """

    __slots__ = ("_at_s", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at_s = now_s

    def left(self, now_s: float) -> float:
        """Return the tokens that are there now."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return self._tokens

    def spend(self, count: float, now_s: float) -> float:
        """Take tokens; returns how many seconds to wait until the debt is paid, 0 when there is none."""
        self._tokens = self.left(now_s) - count
        return max(0.0, -self._tokens / self._rate)


class _Address:
    __slots__ = ("attempts", "failures", "open")

    def __init__(self, attempts: Bucket, failures: Bucket) -> None:
        self.open = 0
        self.attempts = attempts
        self.failures = failures


class Doorkeeper:
    """Counts connections and failed sign-ins by address. Lives on the endpoint's loop.

    Args:
        most_open: connections of one address at once.
        per_s: new connections of one address a second, on average; ten seconds' worth may come at once.
        failures_per_min: failed sign-ins of one address a minute, on average; as many may come at once.
    """

    def __init__(self, most_open: int, per_s: float, failures_per_min: float) -> None:
        self._most_open = most_open
        self._per_s = per_s
        self._failures_per_min = failures_per_min
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def __len__(self) -> int:
        return len(self._addresses)

    def come(self, address: str, now_s: float) -> bool:
        """Note a new connection; False when it is one too many, which is then not counted as open."""
        known = self._known(address, now_s)
        if known.open >= self._most_open or known.attempts.left(now_s) < 1:
            return False
        known.attempts.spend(1, now_s)
        known.open += 1
        return True

    def go(self, address: str) -> None:
        """Note that a connection that had come is gone."""
        known = self._addresses.get(address)
        if known is not None:
            known.open = max(known.open - 1, 0)

    def may_sign_in(self, address: str, now_s: float) -> bool:
        """Tell whether a secret may be checked: not after too many wrong ones."""
        return self._known(address, now_s).failures.left(now_s) >= 1

    def failed(self, address: str, now_s: float) -> None:
        """Note a wrong secret."""
        self._known(address, now_s).failures.spend(1, now_s)

    def _known(self, address: str, now_s: float) -> _Address:
        known = self._addresses.get(address)
        if known is None:
            known = self._addresses[address] = _Address(
                Bucket(self._per_s, self._per_s * 10, now_s),
                Bucket(self._failures_per_min / 60, self._failures_per_min, now_s),
            )
            self._shrink()
        self._addresses.move_to_end(address)
        return known

    def _shrink(self) -> None:
        """Forget the addresses that were quiet longest; who has something open is only put back, once round."""
        tries = len(self._addresses)
        while len(self._addresses) > _MOST_ADDRESSES and tries:
            tries -= 1
            address, known = self._addresses.popitem(last=False)
            if known.open:
                self._addresses[address] = known


class DeviceBuckets:
    """One bucket for all connections of a device, kept while it has any."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[Bucket, int]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, device_id: str, now_s: float) -> Bucket:
        """Return the device's bucket for one more connection."""
        bucket, users = self._buckets.get(device_id) or (Bucket(self._rate, self._rate, now_s), 0)
        self._buckets[device_id] = bucket, users + 1
        return bucket

    def give_back(self, device_id: str) -> None:
        """A connection is gone."""
        bucket, users = self._buckets[device_id]
        if users > 1:
            self._buckets[device_id] = bucket, users - 1
        else:
            del self._buckets[device_id]
