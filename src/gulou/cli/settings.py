"""Settings of the server itself: ``[server]`` of ``city.toml``."""

from __future__ import annotations

import os

from gulou.cli.place import Place
from gulou.kernel.settings import Settings, load_settings, setting


class ServerSettings(Settings):
    """Where the page and the API are served, and where records are kept."""

    host: str = setting("127.0.0.1", description="address of the page; 0.0.0.0 for every interface (then set TLS)")
    port: int = setting(8765, ge=0, le=65535, description="port of the page and the API; 0: any free one")
    ingest_port: int | None = setting(
        None,
        ge=0,
        le=65535,
        description="port of the engine's own HTTP ingest (plain HTTP), for loads that should not pass "
        "through the web process; default: the next one after the page's, or any free one where that is taken",
    )
    processes: int = setting(
        2, ge=1, le=2, unit="1", description="2: engine and page each by itself; 1: everything in one process"
    )
    web_nice: int = setting(
        10,
        ge=0,
        le=19,
        description="how far the web process steps back where the engine needs the processor, as a nice value",
    )
    tls_certificate: str | None = setting(None, description="PEM file; with tls_key the page is served by HTTPS")
    tls_key: str | None = setting(None, description="PEM file of the certificate's key")
    records_url: str | None = setting(
        None, description="SQLAlchemy address of the record store; default: records.db in the data directory"
    )
    packs_enabled: str = setting(
        "flood,air,traffic",
        description="packs to enable at the first start, separated by commas; later: gulou pack enable",
    )
    language: str = setting("en", pattern="^(en|zh)$", description="language of texts made without a person: en or zh")

    @classmethod
    def load(cls, place: Place, **overrides: object) -> ServerSettings:
        """Read them for a data directory; ``overrides`` that are not None win (they come from the command line)."""
        loaded = load_settings(cls, "server", place.settings, os.environ)
        given = {name: value for name, value in overrides.items() if value is not None}
        return cls.model_validate({**loaded.model_dump(), **given})
