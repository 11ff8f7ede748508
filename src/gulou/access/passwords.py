"""Passwords: hashing with argon2id, and what a password must be like."""

from __future__ import annotations

import secrets
import threading
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from gulou.kernel import Fault, Invalid, Unavailable

MAX_LENGTH = 256
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that looks like something else


class Passwords:
    """Hashes and checks passwords; at most ``at_once`` at the same time, since each takes tens of MiB.

    Args:
        memory_kib, passes, lanes: argon2id's cost. The default is the second recommended option.
        wait_s: how long a caller waits for its turn.

    Source: RFC 9106 §4
    """

    def __init__(
        self, *, memory_kib: int = 65_536, passes: int = 3, lanes: int = 4, at_once: int = 2, wait_s: float = 5.0
    ) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)
        self._turns = threading.BoundedSemaphore(at_once)
        self._wait_s = wait_s
        self._decoy: str | None = None

    def hash(self, password: str) -> str:
        """Return the hash with its salt and cost, as text.

        Raises:
            Unavailable: ``access.busy``.
        """
        with self._turn():
            return self._hasher.hash(_normal(password))

    def verify(self, password: str, stored: str | None) -> bool:
        """Check a password; with ``stored`` None (no such account) it takes as long and answers no.

        Raises:
            Unavailable: ``access.busy``.
            Fault: ``access.hash_damaged``.
        """
        if len(password) > MAX_LENGTH:
            return False
        if stored is None:
            self._decoy = self._decoy or self.hash(secrets.token_hex(16))
        with self._turn():
            try:
                self._hasher.verify(stored or self._decoy or "", _normal(password))
            except VerifyMismatchError:
                return False
            except (InvalidHashError, VerificationError) as error:
                raise Fault("access.hash_damaged") from error
        return stored is not None

    def _turn(self) -> _Turn:
        return _Turn(self._turns, self._wait_s)


class _Turn:
    """One of the places at the hasher."""

    def __init__(self, places: threading.BoundedSemaphore, wait_s: float) -> None:
        self._places = places
        self._wait_s = wait_s

    def __enter__(self) -> None:
        if not self._places.acquire(timeout=self._wait_s):
            raise Unavailable("access.busy")

    def __exit__(self, *_: object) -> None:
        self._places.release()


def check_password(password: str, name: str, min_length: int) -> None:
    """Do nothing if a password will do.

    Raises:
        Invalid: ``access.password_short``, ``access.password_long``, ``access.password_simple``.
    """
    if len(password) < min_length:
        raise Invalid("access.password_short", min_length=min_length)
    if len(password) > MAX_LENGTH:
        raise Invalid("access.password_long", max_length=MAX_LENGTH)
    if len(set(password)) < 5 or name_key(name) in name_key(password):
        raise Invalid("access.password_simple")


def make_password() -> str:
    """Make up a password that can be read out: four groups of five, 100 bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


def name_key(name: str) -> str:
    """Return the form of a name by which accounts are told apart: NFKC, case folded."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _normal(password: str) -> str:
    """Return one form for passwords that look the same, however the keyboard composed them.

    Source: RFC 8265 §4.2.2
    """
    return unicodedata.normalize("NFC", password)
