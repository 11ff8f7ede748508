"""How long people stay signed in, and how guessing is slowed down."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class AccessSettings(Settings):
    """Settings of ``[access]``."""

    session_idle_s: int = setting(28_800, unit="s", ge=60, description="a session ends after so long without a request")
    session_absolute_s: int = setting(86_400, unit="s", ge=60, description="a session ends after so long in any case")
    sessions_per_account: int = setting(
        20, unit="1", ge=1, le=1000, description="sessions of one account at the same time; the oldest ends"
    )
    password_min_length: int = setting(10, unit="1", ge=8, le=128, description="characters a password has at least")
    failures_before_lock: int = setting(
        5, unit="1", ge=1, le=100, description="wrong passwords for one name before it is locked for a while"
    )
    failures_per_address: int = setting(
        30, unit="1", ge=1, le=10_000, description="wrong passwords from one address before it is locked for a while"
    )
    lock_s: int = setting(
        15, unit="s", ge=1, le=3600, description="first lock; it doubles with each further wrong password"
    )
    lock_max_s: int = setting(900, unit="s", ge=1, le=86_400, description="longest lock")
