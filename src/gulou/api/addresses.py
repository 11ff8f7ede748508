"""Where the API is, and what a browser carries to it."""

from __future__ import annotations

import hashlib

API_PREFIX = "/api/v1"
INGEST_PREFIX = "/ingest/v1"
COOKIE = "gulou_session"
CSRF_HEADER = "x-gulou-csrf"


def csrf_token(session_token: str) -> str:
    """Derive the token that a page must send with each change; only who can read the session's answer knows it."""
    return hashlib.blake2b(session_token.encode(), digest_size=24, person=b"gulou-csrf").hexdigest()
