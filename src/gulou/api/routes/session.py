"""Sign in, who am I, sign out, change one's password."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gulou.api.asking import Asker
from gulou.api.schemas.access import PasswordChange, SessionView, SignIn

public_router = APIRouter(tags=["session"])
router = APIRouter(tags=["session"])


@public_router.post("/session", status_code=201)
def sign_in(request: Request, response: Response, entry: SignIn) -> SessionView:
    """Sign in by name and password; sets the session's cookie."""
    raise NotImplementedError


@router.get("/session")
def get_session(request: Request, asker: Asker) -> SessionView:
    """Say who is asking, and what they may do."""
    raise NotImplementedError


@router.delete("/session", status_code=204)
def sign_out(request: Request, response: Response, asker: Asker) -> None:
    """End this session."""
    raise NotImplementedError


@router.post("/session/password", status_code=204)
def change_password(request: Request, asker: Asker, entry: PasswordChange) -> None:
    """Change one's own password; every other session of the account ends."""
    raise NotImplementedError
