"""Accounts, roles, tokens and the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
from gulou.api.paging import Pages, Spans
from gulou.api.schemas.access import (
    AuditPage,
    AuditVerification,
    PasswordReset,
    RoleList,
    TokenCreated,
    TokenNew,
    TokenPage,
    UserChange,
    UserCreated,
    UserNew,
    UserPage,
    UserView,
)
from gulou.api.schemas.shape import Instant

router = APIRouter(tags=["access"])


@router.get("/users")
def list_users(asker: Asker, pages: Pages) -> UserPage:
    """List accounts."""
    raise NotImplementedError


@router.post("/users", status_code=201)
def create_user(asker: Asker, entry: UserNew) -> UserCreated:
    """Create an account."""
    raise NotImplementedError


@router.get("/users/{user_id}")
def get_user(asker: Asker, user_id: str) -> UserView:
    """Get one account."""
    raise NotImplementedError


@router.patch("/users/{user_id}")
def update_user(asker: Asker, user_id: str, entry: UserChange) -> UserView:
    """Change an account; disabling it ends its sessions."""
    raise NotImplementedError


@router.delete("/users/{user_id}", status_code=204)
def delete_user(asker: Asker, user_id: str) -> None:
    """Delete an account; its name stays in the audit trail."""
    raise NotImplementedError


@router.post("/users/{user_id}/password")
def reset_password(asker: Asker, user_id: str) -> PasswordReset:
    """Give an account a new, made-up password, and unlock it."""
    raise NotImplementedError


@router.get("/roles")
def list_roles(asker: Asker) -> RoleList:
    """List roles with their permissions."""
    raise NotImplementedError


@router.get("/tokens")
def list_tokens(asker: Asker, spans: Spans) -> TokenPage:
    """List tokens of programs."""
    raise NotImplementedError


@router.post("/tokens", status_code=201)
def create_token(asker: Asker, entry: TokenNew) -> TokenCreated:
    """Create a token; its secret is shown once."""
    raise NotImplementedError


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(asker: Asker, token_id: str) -> None:
    """Revoke a token at once."""
    raise NotImplementedError


@router.get("/audit")
def list_audit(
    asker: Asker,
    spans: Spans,
    actor: Annotated[str | None, Query(max_length=256)] = None,
    action: Annotated[str | None, Query(max_length=128)] = None,
    object_type: Annotated[str | None, Query(max_length=128)] = None,
    object_id: Annotated[str | None, Query(max_length=256)] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> AuditPage:
    """List what was changed, by whom, newest first."""
    raise NotImplementedError


@router.get("/audit/verification")
def verify_audit(asker: Asker) -> AuditVerification:
    """Check the whole chain of hashes."""
    raise NotImplementedError
