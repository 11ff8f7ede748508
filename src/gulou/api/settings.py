"""Limits of the API."""

from __future__ import annotations

from pydantic import model_validator

from gulou.kernel.settings import Settings, setting


class ApiSettings(Settings):
    """Settings of ``[api]``."""

    allowed_origins: list[str] = setting(
        [], description="further origins whose pages may use a person's session, as https://wall.city.example"
    )
    secure_cookie: bool = setting(False, description="send the session's cookie over TLS only, also behind a proxy")
    body_limit_bytes: int = setting(1_048_576, unit="B", ge=1024, description="largest body of an ordinary request")
    bulk_limit_bytes: int = setting(
        67_108_864, unit="B", ge=1024, description="largest body of a bulk import or a chunk of a load"
    )
    metrics_public: bool = setting(
        False, description="answer /metrics to other machines without a token; this machine needs none"
    )
    live_clients: int = setting(200, unit="1", ge=1, le=100_000, description="live connections at the same time")
    live_frame_s: float = setting(
        0.5, unit="s", ge=0.05, le=60, description="least time between two frames of entities"
    )
    live_heartbeat_s: float = setting(5.0, unit="s", ge=0.05, le=300, description="time between two heartbeats")
    live_queue: int = setting(
        1000, unit="1", ge=10, le=100_000, description="messages that wait for a slow live client before it is dropped"
    )
    live_entities: int = setting(
        20_000, unit="1", ge=100, description="changed entities that wait for a live client's next frame"
    )
    performance_s: float = setting(
        5.0, unit="s", ge=0, le=60, description="how often the performance page's counters are read; 0: never"
    )


class TelemetrySettings(Settings):
    """Settings of ``[telemetry]``."""

    endpoint: str = setting(
        "", description="address of an OTLP/HTTP collector, as http://127.0.0.1:4318; empty: nothing is sent"
    )
    service_name: str = setting("gulou", description="service.name of everything that is sent")
    every_s: float = setting(15.0, unit="s", ge=0.1, le=3600, description="how often metrics are sent")
    trace_share: float = setting(
        0.1,
        unit="1",
        ge=0,
        le=1,
        description="share of requests that are traced, where the caller has not decided",
    )

    @model_validator(mode="after")
    def _check(self) -> TelemetrySettings:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must begin with http:// or https://")
        return self
