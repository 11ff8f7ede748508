"""Who vouches for a person. Local accounts today; an OIDC provider takes the same place."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import select

from gulou.access.passwords import Passwords, name_key
from gulou.access.tables import accounts
from gulou.records import Database


class IdentityProvider(Protocol):
    """Checks a proof of identity and names the account that it proves."""

    name: str

    def identify(self, name: str, proof: str) -> str | None:
        """Return the id of the account that ``proof`` (a password, an identity token) belongs to; None if it is wrong.

        Must take as long for an unknown name as for a wrong proof.
        """


class LocalIdentity:
    """Vouches by the passwords in the records."""

    name = "local"

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    def identify(self, name: str, proof: str) -> str | None:
        with self._database.reading() as connection:
            row = connection.execute(
                select(accounts.c.id, accounts.c.password_hash).where(accounts.c.name_key == name_key(name))
            ).first()
        if not self._passwords.verify(proof, row.password_hash if row is not None else None) or row is None:
            return None
        return str(row.id)
