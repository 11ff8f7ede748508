"""Settings of the history."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """How readings are kept and how much a query may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    background: bool = Field(default=True, description="Flush and compact in an own thread; off for stories and tests.")
    flush_s: float = Field(
        default=5.0, gt=0, le=3600, description="Oldest age of readings kept only in memory and log [s]."
    )
    flush_rows: int = Field(default=200_000, ge=1, description="Readings in memory that start a flush at once [rows].")
    tail_max_rows: int = Field(
        default=1_000_000,
        ge=1,
        description="Readings in memory at most; when flushing lags, intake waits for room [rows].",
    )
    tail_wait_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="How long the intake waits for room before history gives up its feed [s].",
    )
    retention_days: int = Field(
        default=0, ge=0, description="Whole months older than this are deleted; 0 keeps everything [days]."
    )
    compact_files: int = Field(
        default=8, ge=2, le=1000, description="Files of like size in a month that are merged [files]."
    )
    compact_max_bytes: int = Field(
        default=256 * 2**20, ge=2**10, description="Files larger than this are not merged again [bytes]."
    )
    vacuum_hours: int = Field(
        default=1, ge=1, description="How long replaced files stay, for readers that use them [hours]."
    )
    threads: int = Field(default=2, ge=1, le=256, description="Threads of the query engine.")
    memory_mb: int = Field(default=512, ge=64, description="Memory of the query engine for all queries together [MB].")
    compact_memory_mb: int = Field(
        default=256, ge=64, description="Memory of compaction; it spills to disk beyond [MB]."
    )
    query_timeout_s: float = Field(default=30.0, gt=0, le=3600, description="Longest time of one query [s].")
    query_max_rows: int = Field(default=1_000_000, ge=1, description="Rows that one query may return at most [rows].")
    query_max_buckets: int = Field(default=100_000, ge=1, description="Time steps of one aggregate at most.")
    max_queries: int = Field(
        default=4, ge=1, le=256, description="Queries that run at the same time; more wait for a turn."
    )
    exact_start_rows: int = Field(
        default=20_000_000, ge=0, description="Up to this size the newest time of every series is read at start [rows]."
    )
