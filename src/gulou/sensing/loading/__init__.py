"""Loading files, and reading rejects again. See ``README.md``."""

from gulou.sensing.loading.files import CHUNK_ROWS, Chunk, file_digest, read_chunks
from gulou.sensing.loading.replay import RejectReplayer, ReplayResult
from gulou.sensing.loading.service import LoadService, OriginBook, origin_name, total

__all__ = [
    "CHUNK_ROWS",
    "Chunk",
    "LoadService",
    "OriginBook",
    "RejectReplayer",
    "ReplayResult",
    "file_digest",
    "origin_name",
    "read_chunks",
    "total",
]
