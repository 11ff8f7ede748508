"""Sessions of people and tokens of programs. Of either only a hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.engine import Row

from gulou.access.accounts import permissions_of
from gulou.access.audit import Audit
from gulou.access.model import Permission, Principal
from gulou.access.settings import AccessSettings
from gulou.access.tables import accounts, sessions, tokens
from gulou.kernel import SECOND_US, Clock, Denied, Invalid, NotFound, new_id
from gulou.records import Database

_TOUCH_US = 60 * SECOND_US  # "last used" is kept to the minute, so that reading is not writing
_DAY_US = 86_400 * SECOND_US
_MARK = "gulou_"  # lets scanners of leaked secrets recognise one


class Sessions:
    """Signed-in people; safe from any thread."""

    def __init__(self, database: Database, clock: Clock, settings: AccessSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    def open(self, account_id: str, address: str) -> str:
        """Begin a session of an account and return its token, which is kept nowhere."""
        token = secrets.token_urlsafe(32)
        now_us = self._clock.now_us()
        with self._database.transaction() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at_us <= now_us))
            self._end_oldest(connection, account_id)
            connection.execute(
                insert(sessions).values(
                    id=new_id("ses", self._clock),
                    token_hash=_hash(token),
                    account_id=account_id,
                    address=address[:64],
                    created_at_us=now_us,
                    seen_at_us=now_us,
                    expires_at_us=now_us + self._settings.session_absolute_s * SECOND_US,
                )
            )
            connection.execute(update(accounts).where(accounts.c.id == account_id).values(last_sign_in_at_us=now_us))
        return token

    def authenticate(self, token: str, *, touch: bool = True) -> Principal:
        """Return who is signed in by a session's token.

        Args:
            touch: counts as a sign of life; False where a page that lies open asks by itself.

        Raises:
            Denied: ``access.unauthenticated`` or ``access.session_expired``.
        """
        now_us = self._clock.now_us()
        query = select(accounts, sessions.c.id.label("session_id"), sessions.c.seen_at_us, sessions.c.expires_at_us)
        joined = query.join(sessions, sessions.c.account_id == accounts.c.id)
        with self._database.reading() as connection:
            row = connection.execute(joined.where(sessions.c.token_hash == _hash(token))).first()
        if row is None or not row.enabled:
            raise Denied("access.unauthenticated")
        if now_us >= row.expires_at_us or now_us - row.seen_at_us >= self._settings.session_idle_s * SECOND_US:
            raise Denied("access.session_expired")
        if touch and now_us - row.seen_at_us >= _TOUCH_US:
            with self._database.transaction() as connection:
                connection.execute(update(sessions).where(sessions.c.id == row.session_id).values(seen_at_us=now_us))
        return Principal(
            kind="user",
            id=row.id,
            name=row.display_name or row.name,
            roles=tuple(row.roles),
            permissions=permissions_of(row.roles, row.department),
            department=row.department,
            must_change_password=row.must_change_password,
            language=row.language,
            session_id=row.session_id,
        )

    def expires_at_us(self, session_id: str) -> int | None:
        """Return when a session ends in any case; None if there is none."""
        with self._database.reading() as connection:
            found = connection.execute(select(sessions.c.expires_at_us).where(sessions.c.id == session_id)).scalar()
        return int(found) if found is not None else None

    def close(self, session_id: str) -> None:
        """End a session; ending it again changes nothing."""
        with self._database.transaction() as connection:
            connection.execute(delete(sessions).where(sessions.c.id == session_id))

    def _end_oldest(self, connection: Connection, account_id: str) -> None:
        newest_first = select(sessions.c.id).where(sessions.c.account_id == account_id)
        ids = connection.execute(newest_first.order_by(sessions.c.created_at_us.desc(), sessions.c.id.desc())).scalars()
        surplus = list(ids)[self._settings.sessions_per_account - 1 :]
        connection.execute(delete(sessions).where(sessions.c.id.in_(surplus)))


@dataclass(frozen=True)
class Token:
    """A program's token, without its secret; times in µs UTC.

    Args:
        created_by: account id.
    """

    id: str
    name: str
    permissions: tuple[Permission, ...]
    created_by: str
    created_at_us: int
    expires_at_us: int | None
    last_used_at_us: int | None
    revoked_at_us: int | None


@dataclass(frozen=True)
class TokenPage:
    """Tokens, newest first; ``next`` is the cursor of the next page."""

    items: list[Token] = field(default_factory=list)
    total: int = 0
    next: str | None = None


class Tokens:
    """Tokens by which programs speak; safe from any thread."""

    def __init__(self, database: Database, clock: Clock, audit: Audit) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit

    def create(
        self, principal: Principal, name: str, permissions: Iterable[Permission], expires_in_days: int | None = 90
    ) -> tuple[Token, str]:
        """Create a token.

        Returns:
            The token, and its secret, which is shown once and kept nowhere.

        Raises:
            Denied: ``access.denied``; ``access.token_too_wide`` for a permission that the creator lacks.
            Invalid: ``access.token_empty``.
        """
        principal.require("token.manage")
        wanted = tuple(dict.fromkeys(permissions))
        if not wanted:
            raise Invalid("access.token_empty")
        for permission in wanted:
            if not any(own.includes(permission) for own in principal.permissions):
                raise Denied("access.token_too_wide", action=permission.action)
        secret = _MARK + secrets.token_urlsafe(32)
        now_us = self._clock.now_us()
        expires_at_us = now_us + expires_in_days * _DAY_US if expires_in_days is not None else None
        token_id = new_id("tok", self._clock)
        with self._database.transaction() as connection:
            connection.execute(
                insert(tokens).values(
                    id=token_id,
                    token_hash=_hash(secret),
                    name=name,
                    permissions=[_to_json(permission) for permission in wanted],
                    created_by=principal.id,
                    created_at_us=now_us,
                    expires_at_us=expires_at_us,
                )
            )
            details = {"name": name, "permissions": [_to_json(permission) for permission in wanted]}
            self._audit.record(principal, "token.created", "token", token_id, details, connection=connection)
        return self.get(token_id), secret

    def authenticate(self, secret: str) -> Principal:
        """Return the program that a token's secret belongs to.

        Raises:
            Denied: ``access.unauthenticated`` or ``access.token_expired``.
        """
        if not secret.startswith(_MARK) or len(secret) > 200:
            raise Denied("access.unauthenticated")
        now_us = self._clock.now_us()
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).where(tokens.c.token_hash == _hash(secret))).first()
        if row is None or row.revoked_at_us is not None:
            raise Denied("access.unauthenticated")
        if row.expires_at_us is not None and now_us >= row.expires_at_us:
            raise Denied("access.token_expired", name=row.name)
        if row.last_used_at_us is None or now_us - row.last_used_at_us >= _TOUCH_US:
            with self._database.transaction() as connection:
                connection.execute(update(tokens).where(tokens.c.id == row.id).values(last_used_at_us=now_us))
        return Principal(kind="token", id=row.id, name=row.name, permissions=_permissions(row.permissions))

    def get(self, token_id: str) -> Token:
        """Return one token.

        Raises:
            NotFound: ``access.token_unknown``.
        """
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).first()
        if row is None:
            raise NotFound("access.token_unknown", token_id=token_id)
        return _token(row)

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of the tokens of these ids; unknown ids are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tokens.c.id, tokens.c.name).where(tokens.c.id.in_(ids)))
            return {row.id: row.name for row in rows}

    def list(self, limit: int = 50, cursor: str | None = None) -> TokenPage:
        """Return a page of tokens, newest first, revoked ones among them."""
        query = select(tokens)
        if cursor is not None:
            made, _, last = cursor.partition("~")
            if not made.isdecimal() or len(made) > 18:
                raise Invalid("request.bad_cursor", cursor=cursor)
            older = tokens.c.created_at_us < int(made)
            query = query.where(or_(older, (tokens.c.created_at_us == int(made)) & (tokens.c.id < last)))
        query = query.order_by(tokens.c.created_at_us.desc(), tokens.c.id.desc())
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(tokens)).scalar_one()
            rows = connection.execute(query.limit(limit + 1)).all()
        items = [_token(row) for row in rows[:limit]]
        following = f"{items[-1].created_at_us}~{items[-1].id}" if len(rows) > limit else None
        return TokenPage(items, total, following)

    def revoke(self, principal: Principal, token_id: str) -> None:
        """Make a token worthless at once; revoking it again changes nothing.

        Raises:
            NotFound: ``access.token_unknown``.
        """
        principal.require("token.manage")
        with self._database.transaction() as connection:
            row = connection.execute(select(tokens.c.revoked_at_us).where(tokens.c.id == token_id)).first()
            if row is None:
                raise NotFound("access.token_unknown", token_id=token_id)
            if row.revoked_at_us is not None:
                return
            connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at_us=self._clock.now_us()))
            self._audit.record(principal, "token.revoked", "token", token_id, connection=connection)


def _hash(token: str) -> str:
    """Hash a secret of 256 random bits; no salt nor cost is needed against guessing."""
    return hashlib.sha256(token.encode()).hexdigest()


def _to_json(permission: Permission) -> dict[str, Any]:
    return {
        "action": permission.action,
        "departments": sorted(permission.departments) if permission.departments is not None else None,
        "entity_types": sorted(permission.entity_types) if permission.entity_types is not None else None,
    }


def _permissions(stored: list[dict[str, Any]]) -> tuple[Permission, ...]:
    return tuple(
        Permission(
            item["action"],
            frozenset(item["departments"]) if item["departments"] is not None else None,
            frozenset(item["entity_types"]) if item["entity_types"] is not None else None,
        )
        for item in stored
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        permissions=_permissions(row.permissions),
        created_by=row.created_by,
        created_at_us=row.created_at_us,
        expires_at_us=row.expires_at_us,
        last_used_at_us=row.last_used_at_us,
        revoked_at_us=row.revoked_at_us,
    )
