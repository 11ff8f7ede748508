"""What an operator may set about HTTP ingest."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class HttpSettings(Settings):
    """The ingest application below ``/ingest/v1``; the web server's settings say where it listens."""

    max_body_bytes: int = setting(
        16_777_216, ge=1_024, unit="bytes", description="Largest request body, before and after unpacking gzip."
    )
    max_bytes_at_once: int = setting(
        134_217_728, ge=1_024, unit="bytes", description="Bodies in work at once; beyond, senders are told to wait."
    )
    max_requests: int = setting(256, ge=1, description="Requests with a body in work at once.")
    max_waiting_devices: int = setting(10_000, ge=1, description="Devices that may wait for commands at once.")
    poll_most_s: float = setting(60.0, gt=0, le=300, unit="s", description="Longest wait for a command in one request.")
    retry_after_s: int = setting(2, ge=1, unit="s", description="What a sender is told to wait when there is no room.")
