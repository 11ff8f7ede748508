"""Accounts, roles, tokens and the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gulou.access import BUILT_IN_ROLES, AuditFilter, Permission, Principal, Token, User
from gulou.api.asking import At, needs
from gulou.api.instants import to_span_us
from gulou.api.paging import Pages, Spans
from gulou.api.schemas.access import (
    AuditEntryView,
    AuditPage,
    AuditVerification,
    PasswordReset,
    PeopleList,
    PersonView,
    RoleList,
    RoleView,
    TokenCreated,
    TokenNew,
    TokenPage,
    TokenView,
    UserChange,
    UserCreated,
    UserNew,
    UserPage,
    UserView,
)
from gulou.api.schemas.shape import Instant
from gulou.api.services import Services
from gulou.api.shaping import to_view
from gulou.api.views import permission_views
from gulou.kernel import from_us

router = APIRouter(tags=["access"])

Manager = Annotated[Principal, needs("user.manage")]
TokenManager = Annotated[Principal, needs("token.manage")]
Auditor = Annotated[Principal, needs("audit.read")]
Reader = Annotated[Principal, needs("device.read")]


@router.get("/users")
def list_users(at: At, asker: Manager, pages: Pages) -> UserPage:
    """List accounts, by name."""
    page = at.access.accounts.list(pages.q, pages.limit, pages.cursor)
    return UserPage(items=[_user_view(at, user) for user in page.items], total=page.total, next=page.next)


@router.post("/users", status_code=201)
def create_user(at: At, asker: Manager, entry: UserNew) -> UserCreated:
    """Create an account."""
    user, made_up = at.access.create_user(
        asker,
        entry.name,
        entry.password.get_secret_value() if entry.password is not None else None,
        roles=entry.roles,
        department=entry.department,
        display_name=entry.display_name,
        language=entry.language,
    )
    return UserCreated(user=_user_view(at, user), password=made_up)


@router.get("/users/{user_id}")
def get_user(at: At, asker: Manager, user_id: str) -> UserView:
    """Get one account."""
    return _user_view(at, at.access.accounts.get(user_id))


@router.patch("/users/{user_id}")
def update_user(at: At, asker: Manager, user_id: str, entry: UserChange) -> UserView:
    """Change an account; disabling it ends its sessions."""
    changes = entry.model_dump(exclude_unset=True, exclude={"version"})
    kept = {name: value for name, value in changes.items() if value is not None or name not in {"roles", "enabled"}}
    return _user_view(at, at.access.accounts.update(asker, user_id, kept, entry.version))


@router.delete("/users/{user_id}", status_code=204)
def delete_user(at: At, asker: Manager, user_id: str) -> None:
    """Delete an account; its name stays in the audit trail."""
    at.access.accounts.delete(asker, user_id)


@router.post("/users/{user_id}/password")
def reset_password(at: At, asker: Manager, user_id: str) -> PasswordReset:
    """Give an account a new, made-up password, and unlock it."""
    return PasswordReset(password=at.access.reset_password(asker, user_id))


@router.get("/people")
def list_people(
    at: At,
    asker: Reader,
    ids: Annotated[list[str], Query(alias="id", min_length=1, max_length=100, description="accounts or tokens")],
) -> PeopleList:
    """Say the names of accounts and tokens that are known by id; what is deleted or unknown is left out."""
    found = {**at.access.accounts.names(ids), **at.access.tokens.names(ids)}
    return PeopleList(items=[PersonView(id=one, name=found[one]) for one in dict.fromkeys(ids) if one in found])


@router.get("/roles")
def list_roles(asker: Manager) -> RoleList:
    """List roles with their permissions."""
    roles = BUILT_IN_ROLES.values()
    return RoleList(
        items=[to_view(RoleView, role, permissions=permission_views(role.permissions_for(None))) for role in roles]
    )


@router.get("/tokens")
def list_tokens(at: At, asker: TokenManager, spans: Spans) -> TokenPage:
    """List tokens of programs, newest first."""
    page = at.access.tokens.list(spans.limit, spans.cursor)
    return TokenPage(items=[_token_view(token) for token in page.items], total=page.total, next=page.next)


@router.post("/tokens", status_code=201)
def create_token(at: At, asker: TokenManager, entry: TokenNew) -> TokenCreated:
    """Create a token; its secret is shown once."""
    permissions = [
        Permission(
            item.action,
            frozenset(item.departments) if item.departments is not None else None,
            frozenset(item.entity_types) if item.entity_types is not None else None,
        )
        for item in entry.permissions
    ]
    token, secret = at.access.create_token(asker, entry.name, permissions, entry.expires_in_days)
    return TokenCreated(token=_token_view(token), secret=secret)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(at: At, asker: TokenManager, token_id: str) -> None:
    """Revoke a token at once."""
    at.access.revoke_token(asker, token_id)


@router.get("/audit")
def list_audit(
    at: At,
    asker: Auditor,
    spans: Spans,
    actor: Annotated[str | None, Query(max_length=256)] = None,
    action: Annotated[str | None, Query(max_length=128)] = None,
    object_type: Annotated[str | None, Query(max_length=128)] = None,
    object_id: Annotated[str | None, Query(max_length=256)] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> AuditPage:
    """List what was changed, by whom, newest first."""
    from_us, to_us = to_span_us(from_, to)
    wanted = AuditFilter(actor, action, object_type, object_id, from_us, to_us)
    page = at.access.audit.list(wanted, spans.limit, spans.cursor)
    return AuditPage(items=[to_view(AuditEntryView, entry) for entry in page.items], next=page.next)


@router.get("/audit/verification")
def verify_audit(at: At, asker: Auditor) -> AuditVerification:
    """Check the whole chain of hashes."""
    return to_view(AuditVerification, at.access.audit.verify())


def _user_view(at: Services, user: User) -> UserView:
    locked_us = at.access.locked_until_us(user)
    return to_view(UserView, user, locked_until=from_us(locked_us) if locked_us is not None else None)


def _token_view(token: Token) -> TokenView:
    return to_view(TokenView, token, permissions=permission_views(token.permissions))
