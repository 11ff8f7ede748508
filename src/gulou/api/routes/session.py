"""Sign in, who am I, sign out, change one's password."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gulou.access import Principal
from gulou.api.addresses import COOKIE, csrf_token
from gulou.api.asking import Asker, At
from gulou.api.schemas.access import PasswordChange, PrincipalView, SessionView, SignIn
from gulou.api.services import Services
from gulou.api.shaping import to_view
from gulou.api.views import permission_views
from gulou.kernel import from_us

public_router = APIRouter(tags=["session"])
router = APIRouter(tags=["session"])


@public_router.post("/session", status_code=201)
def sign_in(request: Request, response: Response, at: At, entry: SignIn) -> SessionView:
    """Sign in by name and password; sets the session's cookie."""
    address = request.client.host if request.client is not None else ""
    token, principal = at.access.sign_in(entry.name, entry.password.get_secret_value(), address)
    response.set_cookie(
        COOKIE,
        token,
        httponly=True,
        samesite="lax",
        secure=at.settings.secure_cookie or request.url.scheme == "https",
        path="/",
    )
    return _session_view(at, principal, token)


@router.get("/session")
def get_session(request: Request, at: At, asker: Asker) -> SessionView:
    """Say who is asking, and what they may do."""
    return _session_view(at, asker, request.scope.get("gulou.session_token"))


@router.delete("/session", status_code=204)
def sign_out(response: Response, at: At, asker: Asker) -> None:
    """End this session."""
    at.access.sign_out(asker)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


@router.post("/session/password", status_code=204)
def change_password(at: At, asker: Asker, entry: PasswordChange) -> None:
    """Change one's own password; every other session of the account ends."""
    at.access.change_password(asker, entry.current_password.get_secret_value(), entry.new_password.get_secret_value())


def _session_view(at: Services, principal: Principal, token: str | None) -> SessionView:
    ends_us = at.access.sessions.expires_at_us(principal.session_id) if principal.session_id else None
    return SessionView(
        principal=to_view(PrincipalView, principal, permissions=permission_views(principal.permissions)),
        csrf_token=csrf_token(token) if token else "",
        language=principal.language,
        expires_at=from_us(ends_us) if ends_us is not None else None,
    )
