"""Accounts of people: create, change, list. Every change is on the audit trail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from gulou.access.audit import Audit
from gulou.access.model import BUILT_IN_ROLES, Permission, Principal
from gulou.access.passwords import Passwords, check_password, make_password, name_key
from gulou.access.settings import AccessSettings
from gulou.access.tables import accounts, sessions, tokens
from gulou.kernel import Clock, Conflict, Denied, Invalid, NotFound, new_id
from gulou.records import Database

ADMIN = "admin"


@dataclass(frozen=True)
class User:
    """A person's account; times in µs UTC."""

    id: str
    name: str
    display_name: str | None
    roles: tuple[str, ...]
    department: str | None
    language: str | None
    enabled: bool
    must_change_password: bool
    created_at_us: int
    last_sign_in_at_us: int | None
    version: int


@dataclass(frozen=True)
class UserPage:
    """Users by name; ``next`` is the cursor of the next page."""

    items: list[User] = field(default_factory=list)
    total: int = 0
    next: str | None = None


class Accounts:
    """The accounts of people; safe from any thread."""

    def __init__(
        self, database: Database, clock: Clock, settings: AccessSettings, passwords: Passwords, audit: Audit
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._passwords = passwords
        self._audit = audit

    def ensure_first_admin(self) -> str | None:
        """Create the account ``admin`` if there is no account at all.

        Returns:
            Its one-time password, to be printed once; None if there are accounts already.
        """
        password = make_password()
        hashed = self._passwords.hash(password)
        with self._database.transaction() as connection:
            if connection.execute(select(accounts.c.id).limit(1)).first() is not None:
                return None
            user_id = self._insert(connection, ADMIN, hashed, {"roles": [ADMIN], "must_change_password": True})
            self._audit.record(
                Principal.system("setup"), "user.created", "user", user_id, {"name": ADMIN}, connection=connection
            )
        return password

    def create(
        self,
        principal: Principal,
        name: str,
        password: str | None = None,
        *,
        roles: Iterable[str] = (),
        department: str | None = None,
        display_name: str | None = None,
        language: str | None = None,
    ) -> tuple[User, str | None]:
        """Create an account.

        Returns:
            The account, and the password if it was made up here (it must then be changed after the first sign-in).

        Raises:
            Invalid: ``access.password_…``, ``access.role_unknown``, ``access.name_malformed``.
            Conflict: ``access.name_taken``.
        """
        principal.require("user.manage")
        _check_name(name)
        chosen = list(_known_roles(roles))
        if password is not None:
            check_password(password, name, self._settings.password_min_length)
        made_up = make_password() if password is None else None
        values = {
            "roles": chosen,
            "department": department,
            "display_name": display_name,
            "language": language,
            "must_change_password": made_up is not None,
        }
        hashed = self._passwords.hash(password or made_up or "")
        try:
            with self._database.transaction() as connection:
                user_id = self._insert(connection, name, hashed, values)
                details = {"name": name, "roles": chosen, "department": department}
                self._audit.record(principal, "user.created", "user", user_id, details, connection=connection)
        except IntegrityError as error:
            raise Conflict("access.name_taken", name=name) from error
        return self.get(user_id), made_up

    def get(self, user_id: str) -> User:
        """Return one account.

        Raises:
            NotFound: ``access.user_unknown``.
        """
        with self._database.reading() as connection:
            return _get(connection, user_id)

    def find_by_name(self, name: str) -> User | None:
        """Return the account of a name, however it is written (case, width)."""
        with self._database.reading() as connection:
            row = connection.execute(select(accounts).where(accounts.c.name_key == name_key(name))).first()
        return _user(row) if row is not None else None

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return how the accounts of these ids are shown to people; unknown ids are left out."""
        columns = accounts.c
        with self._database.reading() as connection:
            rows = connection.execute(select(columns.id, columns.name, columns.display_name).where(columns.id.in_(ids)))
            return {row.id: row.display_name or row.name for row in rows}

    def list(self, q: str | None = None, limit: int = 50, cursor: str | None = None) -> UserPage:
        """Return a page of accounts in the order of their names; ``q`` is looked for in name and department."""
        columns = accounts.c
        query = select(accounts)
        if q:
            query = query.where(
                or_(
                    columns.name_key.contains(name_key(q), autoescape=True),
                    columns.display_name.contains(q, autoescape=True),
                    columns.department.contains(q, autoescape=True),
                )
            )
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            if cursor is not None:
                query = query.where(columns.name_key > cursor)
            rows = connection.execute(query.order_by(columns.name_key).limit(limit + 1)).all()
        following = rows[limit - 1].name_key if len(rows) > limit else None
        return UserPage([_user(row) for row in rows[:limit]], total, following)

    def update(self, principal: Principal, user_id: str, changes: dict[str, Any], version: int | None = None) -> User:
        """Change ``display_name``, ``roles``, ``department``, ``language`` or ``enabled``.

        Disabling an account ends its sessions and revokes the tokens that it created.

        Raises:
            NotFound: ``access.user_unknown``.
            Conflict: ``access.user_changed`` (another version), ``access.last_admin``.
            Invalid: ``access.role_unknown``.
        """
        principal.require("user.manage")
        values = dict(changes)
        if "roles" in values:
            values["roles"] = list(_known_roles(values["roles"]))
        with self._database.transaction() as connection:
            before = _get(connection, user_id)
            if version is not None and version != before.version:
                raise Conflict("access.user_changed", user_id=user_id, version=before.version)
            connection.execute(
                update(accounts).where(accounts.c.id == user_id).values(**values, version=before.version + 1)
            )
            _require_an_admin(connection)
            if values.get("enabled") is False:
                self._cut_off(connection, user_id)
            self._audit.record(principal, "user.updated", "user", user_id, values, connection=connection)
            return _get(connection, user_id)

    def delete(self, principal: Principal, user_id: str) -> None:
        """Remove an account with its sessions; the tokens that it created are revoked.

        Raises:
            NotFound: ``access.user_unknown``.
            Conflict: ``access.last_admin``.
        """
        principal.require("user.manage")
        with self._database.transaction() as connection:
            user = _get(connection, user_id)
            self._cut_off(connection, user_id)
            connection.execute(delete(accounts).where(accounts.c.id == user_id))
            _require_an_admin(connection)
            self._audit.record(principal, "user.deleted", "user", user_id, {"name": user.name}, connection=connection)

    def reset_password(self, principal: Principal, user_id: str) -> str:
        """Give an account a made-up password, shown once, to be changed after the next sign-in; its sessions end."""
        principal.require("user.manage")
        password = make_password()
        hashed = self._passwords.hash(password)
        with self._database.transaction() as connection:
            _get(connection, user_id)
            self._set_password(connection, user_id, hashed, must_change=True)
            self._audit.record(principal, "user.password_reset", "user", user_id, connection=connection)
        return password

    def change_password(self, principal: Principal, current: str, new: str) -> None:
        """Change one's own password; every other session of the account ends.

        Raises:
            Denied: ``access.bad_password``; ``access.no_password`` for who is not a person.
            Invalid: ``access.password_…``.
        """
        if principal.kind != "user":
            raise Denied("access.no_password")
        with self._database.reading() as connection:
            row = connection.execute(
                select(accounts.c.name, accounts.c.password_hash).where(accounts.c.id == principal.id)
            ).one()
        if not self._passwords.verify(current, row.password_hash):
            raise Denied("access.bad_password")
        check_password(new, row.name, self._settings.password_min_length)
        if new == current:
            raise Invalid("access.password_same")
        hashed = self._passwords.hash(new)
        with self._database.transaction() as connection:
            self._set_password(connection, principal.id, hashed, must_change=False, keep_session=principal.session_id)
            self._audit.record(principal, "user.password_changed", "user", principal.id, connection=connection)

    def _insert(self, connection: Connection, name: str, hashed: str, values: dict[str, Any]) -> str:
        user_id = new_id("user", self._clock)
        connection.execute(
            insert(accounts).values(
                id=user_id,
                name=name.strip(),
                name_key=name_key(name),
                password_hash=hashed,
                enabled=True,
                created_at_us=self._clock.now_us(),
                version=1,
                **values,
            )
        )
        return user_id

    def _set_password(
        self, connection: Connection, user_id: str, hashed: str, *, must_change: bool, keep_session: str | None = None
    ) -> None:
        connection.execute(
            update(accounts)
            .where(accounts.c.id == user_id)
            .values(password_hash=hashed, must_change_password=must_change, version=accounts.c.version + 1)
        )
        connection.execute(
            delete(sessions).where(sessions.c.account_id == user_id, sessions.c.id != (keep_session or ""))
        )

    def _cut_off(self, connection: Connection, user_id: str) -> None:
        connection.execute(delete(sessions).where(sessions.c.account_id == user_id))
        connection.execute(
            update(tokens)
            .where(tokens.c.created_by == user_id, tokens.c.revoked_at_us.is_(None))
            .values(revoked_at_us=self._clock.now_us())
        )


def permissions_of(roles: Iterable[str], department: str | None) -> tuple[Permission, ...]:
    """Return what roles allow together; a role that no longer exists allows nothing."""
    known = (BUILT_IN_ROLES[role] for role in roles if role in BUILT_IN_ROLES)
    return tuple(dict.fromkeys(permission for role in known for permission in role.permissions_for(department)))


def _get(connection: Connection, user_id: str) -> User:
    row = connection.execute(select(accounts).where(accounts.c.id == user_id)).first()
    if row is None:
        raise NotFound("access.user_unknown", user_id=user_id)
    return _user(row)


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        roles=tuple(row.roles),
        department=row.department,
        language=row.language,
        enabled=row.enabled,
        must_change_password=row.must_change_password,
        created_at_us=row.created_at_us,
        last_sign_in_at_us=row.last_sign_in_at_us,
        version=row.version,
    )


def _check_name(name: str) -> None:
    key = name_key(name)
    if not key or len(key) > 200 or not key.isprintable():
        raise Invalid("access.name_malformed", name=name[:200])


def _known_roles(roles: Iterable[str]) -> Iterable[str]:
    for role in dict.fromkeys(roles):
        if role not in BUILT_IN_ROLES:
            raise Invalid("access.role_unknown", role=role, known=", ".join(BUILT_IN_ROLES))
        yield role


def _require_an_admin(connection: Connection) -> None:
    rows = connection.execute(select(accounts.c.roles).where(accounts.c.enabled)).all()
    if not any(ADMIN in row.roles for row in rows):
        raise Conflict("access.last_admin")
