"""Bounds and waits of the bridge."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class BridgeSettings(Settings):
    """How the page's process and the engine speak with each other."""

    answer_within_s: float = setting(
        30.0, gt=0, le=600, unit="s", description="a call that the engine has not answered by then is given up"
    )
    call_threads: int = setting(8, ge=1, le=64, unit="1", description="calls that the engine works on at the same time")
    max_calls: int = setting(
        256, ge=1, le=100_000, unit="1", description="calls under way at once; further callers are told to try again"
    )
    kept_messages: int = setting(
        10_000,
        ge=1,
        le=1_000_000,
        unit="1",
        description="messages kept for a page's process that is away; after more it asks for what it has missed",
    )
