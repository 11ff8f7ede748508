"""Checks, while the server runs, that the accounts say what the door saw: received = stored + rejected + dropped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from gulou.connectivity.intake.model import Account

_log = logging.getLogger(__name__)
_SHOWN = 20


@runtime_checkable
class KeepsAccounts(Protocol):
    """What is asked of the ledger."""

    def accounts(self) -> list[Account]: ...


class Imbalance(msgspec.Struct, frozen=True):
    """One source whose account is not what the door saw. ``seen`` and ``booked``: since this start."""

    source: str
    seen: dict[str, int]
    booked: dict[str, int]


class Balance:
    """Counts what each commit took, and compares that with the ledger in quiet moments.

    ``received`` is counted from what senders handed over, ``stored`` and ``rejected`` from what the log holds: a
    reading that got lost between the two, or between the log and the ledger, shows. A difference counts only when it
    stands in two checks with nothing happening between them. Safe from any thread.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: dict[str, list[int]] = {}
        self._base: dict[str, Account] = {}
        self._changes = 0
        self._doubt: tuple[int, list[Imbalance]] = (-1, [])
        self.imbalances: list[Imbalance] = []
        self.checked_at_us: int | None = None

    def start(self, ledger: object) -> None:
        """Take what is booked already as given."""
        if isinstance(ledger, KeepsAccounts):
            self._base = {account.source: account for account in ledger.accounts()}

    def took(self, source: str, received: int, stored: int, rejected: int) -> None:
        """Note what one log record took."""
        with self._guard:
            self._changes += 1
            sums = self._seen.setdefault(source, [0, 0, 0, 0])
            sums[0] += received
            sums[1] += stored
            sums[2] += rejected

    def dropped(self, drops: Mapping[str, Mapping[str, int]]) -> None:
        """Note what was given up unacknowledged."""
        with self._guard:
            self._changes += 1
            for source, reasons in drops.items():
                sums = self._seen.setdefault(source, [0, 0, 0, 0])
                sums[0] += sum(reasons.values())
                sums[3] += sum(reasons.values())

    def check(self, ledger: object, now_us: int) -> None:
        """Compare; only while nothing waits to be written or applied."""
        if not isinstance(ledger, KeepsAccounts):
            return
        with self._guard:
            changes = self._changes
            seen = {source: tuple(sums) for source, sums in self._seen.items()}
        found = list(self._compare(seen, ledger.accounts()))
        confirmed = found if self._doubt == (changes, found) else []
        self._doubt = (changes, found)
        if confirmed or not found:
            if confirmed and not self.imbalances:
                _log.error("the accounts do not balance: %s", confirmed[:_SHOWN])
            self.imbalances = confirmed[:_SHOWN]
            self.checked_at_us = now_us

    def status(self) -> dict[str, Any]:
        """Return ``holds``, when that was last seen, and what differs."""
        return {
            "holds": not self.imbalances,
            "checked_at_us": self.checked_at_us,
            "differences": [msgspec.to_builtins(one) for one in self.imbalances],
        }

    def _compare(self, seen: Mapping[str, tuple[int, ...]], accounts: Iterable[Account]) -> Iterable[Imbalance]:
        booked = {account.source: account for account in accounts}
        for source in sorted(seen.keys() | booked.keys()):
            now, base = booked.get(source, _nothing(source)), self._base.get(source, _nothing(source))
            since = tuple(one - before for one, before in zip(_figures(now), _figures(base), strict=True))
            of_door = seen.get(source, (0, 0, 0, 0))
            if since != of_door or of_door[0] != sum(of_door[1:]) or now.received != sum(_figures(now)[1:]):
                yield Imbalance(source, _named(of_door), _named(since))


def _nothing(source: str) -> Account:
    return Account(source, 0, 0, 0, 0)


def _figures(account: Account) -> tuple[int, int, int, int]:
    return account.received, account.stored, account.rejected, account.dropped


def _named(figures: Iterable[int]) -> dict[str, int]:
    return dict(zip(("received", "stored", "rejected", "dropped"), figures, strict=True))
