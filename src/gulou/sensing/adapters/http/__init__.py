"""HTTP ingest: batches of readings in five formats, commands by long polling. See ``README.md``."""

from gulou.sensing.adapters.http.adapter import HttpAdapter, create
from gulou.sensing.adapters.http.application import IngestApplication
from gulou.sensing.adapters.http.settings import HttpSettings

__all__ = ["HttpAdapter", "HttpSettings", "IngestApplication", "create"]
