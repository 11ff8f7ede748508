"""Secrets of devices: made up here (fast to check) or chosen by somebody (slow to guess)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from gulou.access.passwords import Passwords
from gulou.access.tables import device_credentials
from gulou.access.throttle import Throttle
from gulou.kernel import Clock, Denied, Invalid
from gulou.records import Database

_MADE_UP_BYTES = 20
_MACHINE_MADE_LENGTH = 32
_MACHINE_MADE_VARIETY = 10
_CHUNK = 500


class DeviceCredentials:
    """Issues and checks the secrets of devices; safe from any thread.

    A made-up secret has 160 random bits and is kept as a keyed BLAKE2b hash. A chosen one is kept as argon2id with a
    small cost, and a check that succeeded is remembered, so that a device that sends often does not pay each time. A
    chosen secret of 32 characters or more counts as machine-made and is kept like a made-up one.

    Args:
        remembered: how many successful checks of chosen secrets are remembered.
    """

    def __init__(
        self, database: Database, clock: Clock, *, passwords: Passwords | None = None, remembered: int = 10_000
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords or Passwords(memory_kib=19_456, passes=2, lanes=1, at_once=2)
        self._throttle = Throttle(clock, free=10, lock_s=1, lock_max_s=30)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._remembered = remembered
        self._guard = threading.Lock()

    def issue(self, device_id: str) -> str:
        """Make a secret up and return it; it is shown once, and the device's old one no longer works."""
        return self.issue_many([device_id])[device_id]

    def issue_many(self, device_ids: Iterable[str], *, connection: Connection | None = None) -> dict[str, str]:
        """Make secrets up for many devices in one transaction; returns them by device id."""
        issued = {device_id: make_secret() for device_id in device_ids}
        self.set_many(issued, connection=connection)
        return issued

    def set(self, device_id: str, secret: str) -> None:
        """Give a device a chosen secret.

        Raises:
            Invalid: ``access.secret_short``, ``access.secret_long``.
        """
        self.set_many({device_id: secret})

    def set_many(self, chosen: Mapping[str, str], *, connection: Connection | None = None) -> None:
        """Give many devices their secrets in one transaction; all or none.

        Args:
            connection: an open transaction to write in.

        Raises:
            Invalid: ``access.secret_short``, ``access.secret_long``, naming the device.
        """
        now_us = self._clock.now_us()
        rows = []
        for device_id, secret in chosen.items():
            kind, hashed = self._hash(device_id, secret)
            rows.append({"device_id": device_id, "kind": kind, "secret_hash": hashed, "created_at_us": now_us})
        if connection is not None:
            _replace(connection, rows)
            return
        with self._database.transaction() as own:
            _replace(own, rows)

    def verify(self, device_id: str, secret: str) -> bool:
        """Say whether a secret is the device's; constant time. Many wrong guesses slow further ones down."""
        if len(device_id) > 128 or len(secret) > 256:
            return False
        with self._database.reading() as connection:
            query = select(device_credentials.c.kind, device_credentials.c.secret_hash)
            row = connection.execute(query.where(device_credentials.c.device_id == device_id)).first()
        if row is None:
            return False
        stored = bytes(row.secret_hash)
        if row.kind == "made":
            return hmac.compare_digest(stored, _fast_hash(device_id, secret))
        return self._verify_chosen(device_id, secret, stored)

    def has(self, device_id: str) -> bool:
        """Say whether a device has a secret."""
        with self._database.reading() as connection:
            query = select(device_credentials.c.device_id).where(device_credentials.c.device_id == device_id)
            return connection.execute(query).first() is not None

    def revoke(self, device_id: str, *, connection: Connection | None = None) -> None:
        """Take a device's secret away; connections that stand are for their adapter to close."""
        statement = delete(device_credentials).where(device_credentials.c.device_id == device_id)
        if connection is not None:
            connection.execute(statement)
            return
        with self._database.transaction() as own:
            own.execute(statement)

    def _hash(self, device_id: str, secret: str) -> tuple[str, bytes]:
        if len(secret) < 8:
            raise Invalid("access.secret_short", device_id=device_id, min_length=8)
        if len(secret) > 256:
            raise Invalid("access.secret_long", device_id=device_id, max_length=256)
        if len(secret) >= _MACHINE_MADE_LENGTH and len(set(secret)) >= _MACHINE_MADE_VARIETY:
            return "made", _fast_hash(device_id, secret)
        return "chosen", self._passwords.hash(secret).encode()

    def _verify_chosen(self, device_id: str, secret: str, stored: bytes) -> bool:
        proof = hashlib.blake2b(secret.encode(), key=hashlib.sha256(stored).digest(), digest_size=32).digest()
        with self._guard:
            if proof in self._known:
                self._known.move_to_end(proof)
                return True
        try:
            self._throttle.attempt(device_id)
        except Denied:
            return False
        if not self._passwords.verify(secret, stored.decode()):
            return False
        self._throttle.succeeded(device_id, forget=True)
        with self._guard:
            self._known[proof] = None
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return True


def make_secret() -> str:
    """Make a secret up: 160 random bits as 32 characters of ``a-z2-7``."""
    return base64.b32encode(secrets.token_bytes(_MADE_UP_BYTES)).decode().lower()


def _fast_hash(device_id: str, secret: str) -> bytes:
    key = hashlib.sha256(device_id.encode()).digest()
    return hashlib.blake2b(secret.encode(), key=key, digest_size=32, person=b"gulou-device").digest()


def _replace(connection: Connection, rows: list[dict[str, object]]) -> None:
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        ids = [row["device_id"] for row in chunk]
        connection.execute(delete(device_credentials).where(device_credentials.c.device_id.in_(ids)))
        connection.execute(insert(device_credentials), chunk)
