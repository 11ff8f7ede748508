"""What an operator may set about MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from gulou.kernel.settings import Settings, setting


class BrokerSettings(BaseModel):
    """One external broker that Gulou reads from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = setting(description="Name on the accounting page: mqtt:<name>.", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    host: str = setting(description="Host name or address.")
    port: int = setting(1883, ge=1, le=65_535, description="TCP port.")
    username: str | None = setting(None, description="User name at the broker.")
    password: SecretStr | None = setting(None, description="Password at the broker.")
    topics: tuple[str, ...] = setting((), description="Topic filters; empty: the filters of all loaded mappings.")
    mapping: str | None = setting(None, description="Mapping for all of it; none: each topic's own by its filter.")
    client_id: str | None = setting(None, description="Client id; none: gulou-<name>. Must stay the same.")
    version: Literal["3.1.1", "5"] = setting("5", description="Protocol version to speak.")
    tls: bool = setting(False, description="Whether to speak TLS.")
    ca_file: Path | None = setting(None, description="Certificates to trust; none: the system's.")
    retry_s: float = setting(1.0, gt=0, unit="s", description="First wait before connecting again; doubles each time.")
    retry_most_s: float = setting(60.0, gt=0, unit="s", description="Longest wait before connecting again.")
    max_waiting: int = setting(1_000, ge=1, description="Messages that may wait to be durable before reading pauses.")


class MqttSettings(Settings):
    """The device endpoint, and the external brokers."""

    listen: bool = setting(True, description="Whether the device endpoint runs.")
    host: str = setting("127.0.0.1", description="Address that the endpoint listens on.")
    port: int = setting(1883, ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    tls_port: int | None = setting(None, ge=0, le=65_535, description="Port for TLS; none: no TLS.")
    tls_certificate: Path | None = setting(None, description="PEM file of the certificate chain.")
    tls_key: Path | None = setting(None, description="PEM file of the private key.")
    tls_client_ca: Path | None = setting(
        None,
        description="PEM file of authorities whose client certificates stand for a secret: common name = device id.",
    )
    tls_client_required: bool = setting(
        False, description="Whether the TLS port takes only devices with a client certificate."
    )
    max_connections: int = setting(20_000, ge=1, description="Connections at once.")
    max_connections_per_device: int = setting(20, ge=1, description="Connections of one device at once.")
    max_connections_per_address: int = setting(10_000, ge=1, description="Connections of one network address at once.")
    connections_per_s: float = setting(
        500.0, gt=0, description="New connections of one address a second; ten seconds' worth may come at once."
    )
    failed_sign_ins_per_min: float = setting(
        60.0, ge=1, description="Wrong secrets of one address a minute; beyond, it is refused without being asked."
    )
    messages_per_s: float = setting(
        100_000.0,
        ge=1,
        description="Messages of one device a second, over all its connections; beyond, its reading pauses.",
    )
    max_packet_bytes: int = setting(
        1_048_576, ge=1_024, le=268_435_460, unit="bytes", description="Largest packet from a device."
    )
    max_inflight: int = setting(
        2_000, ge=1, le=65_535, description="Unacknowledged messages of one connection before reading pauses."
    )
    max_waiting_bytes: int = setting(
        4_194_304,
        ge=65_536,
        unit="bytes",
        description="Payloads of one connection not yet durable before reading pauses.",
    )
    max_write_bytes: int = setting(
        1_048_576, ge=4_096, unit="bytes", description="What may wait to be sent to a slow device before it is cut off."
    )
    write_timeout_s: float = setting(
        30.0, gt=0, unit="s", description="How long a device may leave what it is sent unread before it is cut off."
    )
    connect_timeout_s: float = setting(10.0, gt=0, unit="s", description="Time for CONNECT after the connection opens.")
    keep_alive_most_s: int = setting(
        3_600, ge=5, le=65_535, unit="s", description="Longest keep-alive of MQTT 5 devices."
    )
    session_expiry_s: int = setting(
        604_800, ge=0, unit="s", description="How long the session of a device that is away is kept at most."
    )
    max_sessions: int = setting(100_000, ge=1, description="Kept sessions; beyond, the longest away is forgotten.")
    max_commands_inflight: int = setting(
        100, ge=1, le=65_535, description="Commands sent on one connection and not yet confirmed by MQTT."
    )
    max_queued: int = setting(
        1_000, ge=0, description="Messages from other devices that wait for one session; beyond, new ones are dropped."
    )
    max_queued_bytes: int = setting(
        134_217_728, ge=0, unit="bytes", description="Payloads that wait for devices, all sessions together."
    )
    max_retained: int = setting(10_000, ge=0, description="Retained messages on granted topics.")
    max_retained_bytes: int = setting(
        33_554_432, ge=0, unit="bytes", description="Payloads of all retained messages together."
    )
    fast: bool = setting(
        True, description="Whether numbers take the compiled way from the socket to the log; outcomes are the same."
    )
    brokers: tuple[BrokerSettings, ...] = setting((), description="External brokers to read from.")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("tls_port needs tls_certificate and tls_key")
        if self.tls_client_ca is not None and self.tls_port is None:
            raise ValueError("tls_client_ca needs tls_port")
        if self.tls_client_required and self.tls_client_ca is None:
            raise ValueError("tls_client_required needs tls_client_ca")
        if len({broker.name for broker in self.brokers}) != len(self.brokers):
            raise ValueError("two brokers have the same name")
        return self
