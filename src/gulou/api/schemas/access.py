"""Schemas of sign-in, accounts, tokens and the audit trail."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr

from gulou.api.schemas.shape import Entry, Identifier, Instant, Name, Page, Texts, View


class PermissionView(View):
    """One action, in some departments, on some entity types; None means all of them."""

    action: str
    departments: list[str] | None = None
    entity_types: list[str] | None = None


class PermissionEntry(Entry):
    """A permission to give; leave `departments` or `entity_types` out for all of them."""

    action: Identifier
    departments: list[Identifier] | None = Field(default=None, max_length=200)
    entity_types: list[Identifier] | None = Field(default=None, max_length=200)


class PrincipalView(View):
    """Who is asking."""

    kind: Literal["user", "token", "device", "system"]
    id: str
    name: str
    roles: list[str]
    permissions: list[PermissionView]
    department: str | None = None
    must_change_password: bool = False


class SignIn(Entry):
    """Name and password."""

    name: Name
    password: SecretStr = Field(min_length=1, max_length=1024)


class SessionView(View):
    """The present session; the session's token itself travels only in an HttpOnly cookie."""

    principal: PrincipalView
    csrf_token: str = Field(description="to be sent as header `X-Gulou-Csrf` with every change")
    language: str | None = Field(default=None, description="the user's own language, `en` or `zh`")
    expires_at: Instant | None = None


class PasswordChange(Entry):
    """The old password and the new one."""

    current_password: SecretStr = Field(min_length=1, max_length=1024)
    new_password: SecretStr = Field(min_length=1, max_length=1024)


class UserView(View):
    """An account of a person."""

    id: str
    name: str
    display_name: str | None = None
    roles: list[str]
    department: str | None = None
    language: str | None = None
    enabled: bool
    must_change_password: bool = False
    created_at: Instant
    last_sign_in_at: Instant | None = None
    locked_until: Instant | None = None
    version: int


class UserPage(Page[UserView]):
    """Accounts of people."""


class PersonView(View):
    """Who stands behind an id, as people call them."""

    id: str
    name: str


class PeopleList(View):
    """Names of accounts and tokens."""

    items: list[PersonView]


class UserNew(Entry):
    """An account to create; without a password one is made up and shown once."""

    name: Name
    display_name: Name | None = None
    password: SecretStr | None = Field(default=None, min_length=1, max_length=1024)
    roles: list[Identifier] = Field(default_factory=list, max_length=50)
    department: Identifier | None = None
    language: Literal["en", "zh"] | None = None


class UserCreated(View):
    """A new account, and its password if the server made it up."""

    user: UserView
    password: str | None = Field(default=None, description="shown this once only")


class UserChange(Entry):
    """Fields to change; what is left out stays."""

    version: int | None = Field(default=None, description="of the account as it was read; a newer one is a conflict")
    display_name: Name | None = None
    roles: list[Identifier] | None = Field(default=None, max_length=50)
    department: Identifier | None = None
    language: Literal["en", "zh"] | None = None
    enabled: bool | None = None


class PasswordReset(View):
    """A password made up by the server, shown this once only; it must be changed after the next sign-in."""

    password: str


class RoleView(View):
    """A named set of permissions."""

    name: str
    label: Texts
    permissions: list[PermissionView]


class RoleList(View):
    """All roles."""

    items: list[RoleView]


class TokenView(View):
    """A token by which a program speaks; its secret is not kept."""

    id: str
    name: str
    permissions: list[PermissionView]
    created_by: str | None = None
    created_at: Instant
    expires_at: Instant | None = None
    last_used_at: Instant | None = None
    revoked_at: Instant | None = None


class TokenPage(Page[TokenView]):
    """Tokens of programs."""


class TokenNew(Entry):
    """A token to create; it can't do more than who creates it."""

    name: Name
    permissions: list[PermissionEntry] = Field(min_length=1, max_length=100)
    expires_in_days: int = Field(default=90, ge=1, le=3660, description="days until it expires")


class TokenCreated(View):
    """A new token and its secret."""

    token: TokenView
    secret: str = Field(description="shown this once only; send as `Authorization: Bearer …`")


class AuditEntryView(View):
    """One line of the audit trail; each carries the hash of the one before."""

    sequence: int
    at: Instant
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    object_type: str
    object_id: str
    details: dict[str, Any]
    hash: str


class AuditPage(Page[AuditEntryView]):
    """The audit trail, newest first."""


class AuditVerification(View):
    """Whether the chain of hashes holds."""

    intact: bool
    entries: int
    first_broken: int | None = Field(default=None, description="sequence of the first entry that doesn't fit")
