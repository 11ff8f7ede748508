"""Settings of the history."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class HistorySettings(Settings):
    """How readings are kept and how much a query may cost."""

    background: bool = setting(True, description="Flush and compact in own threads; off for stories and tests.")
    flush_s: float = setting(
        5.0, gt=0, le=3600, unit="s", description="Oldest age of readings that only memory and the log have."
    )
    flush_rows: int = setting(1_000_000, ge=1, unit="rows", description="Numbers in memory that start a flush at once.")
    flush_objects: int = setting(
        200_000,
        ge=1,
        unit="rows",
        description="Readings in memory that came one by one (texts, geometries) that do so.",
    )
    tail_max_rows: int = setting(
        4_000_000, ge=1, unit="rows", description="Readings in memory at most; when flushing lags, the log waits."
    )
    tail_wait_s: float = setting(
        60.0, gt=0, le=3600, unit="s", description="How long the log waits for room before history gives up its feed."
    )
    retention_days: int = setting(
        0,
        ge=0,
        le=365_000,
        unit="days",
        description="Readings of whole months older than this are deleted, their hours and days kept; 0 keeps all.",
    )
    retention_types: dict[str, int] = setting(
        {},
        description="Days for single entity types, {BikeTrip = 30}: whole months of them are deleted sooner. "
        "What a pack says of a type that it brings counts where nothing is said here; 0 keeps all.",
    )
    retention_minute_days: int = setting(
        0, ge=0, le=365_000, unit="days", description="The same for roll-ups by minute; 0 keeps all."
    )
    retention_hour_days: int = setting(
        0, ge=0, le=365_000, unit="days", description="The same for roll-ups by hour; 0 keeps all."
    )
    retention_day_days: int = setting(
        0, ge=0, le=365_000, unit="days", description="The same for roll-ups by day; 0 keeps all."
    )
    latest_s: float = setting(
        10.0, gt=0, le=3600, unit="s", description="How often the newest reading of every series is noted on disk."
    )
    compact_files: int = setting(
        8, ge=2, le=1000, unit="files", description="Files of like size in a month that are merged into one."
    )
    compact_max_bytes: int = setting(
        256 * 2**20,
        ge=2**10,
        unit="bytes",
        description="Files larger than this are merged once more, when their month is over; none grows much larger.",
    )
    compact_backlog: int = setting(
        96,
        ge=4,
        unit="files",
        description="Files waiting to be merged at most: beyond it flushing waits, then the log, then the senders.",
    )
    compact_wait_s: float = setting(
        15.0, ge=0, le=3600, unit="s", description="Longest time that one flush waits so; well below tail_wait_s."
    )
    quiet_s: float = setting(
        300.0, gt=0, le=86_400, unit="s", description="A month not written to for so long becomes one sorted run."
    )
    vacuum_hours: int = setting(
        1, ge=1, le=10_000, unit="hours", description="How long replaced files stay, for readers that use them."
    )
    threads: int = setting(2, ge=1, le=256, unit="threads", description="Threads of the query engine.")
    memory_mb: int = setting(512, ge=64, unit="MB", description="Memory of the query engine for all queries together.")
    compact_memory_mb: int = setting(
        256, ge=64, unit="MB", description="Memory of compaction: how many files at a time."
    )
    query_timeout_s: float = setting(30.0, gt=0, le=3600, unit="s", description="Longest time of one query.")
    query_max_rows: int = setting(1_000_000, ge=1, unit="rows", description="Rows that one query may return at most.")
    query_max_buckets: int = setting(
        100_000, ge=1, unit="steps", description="Time steps that one aggregate may span at most."
    )
    max_queries: int = setting(
        4, ge=1, le=256, unit="queries", description="Queries that run at the same time; more wait for a turn."
    )
    exact_start_rows: int = setting(
        20_000_000,
        ge=0,
        unit="rows",
        description="Up to this size the newest of every series is read at start, where that is not on disk.",
    )
