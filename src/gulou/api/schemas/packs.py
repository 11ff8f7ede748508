"""Schemas of packs and the system page."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gulou.api.schemas.shape import Entry, Identifier, Instant, Page, Texts, View


class PackProblem(View):
    """What is wrong in a pack, where, and how to mend it."""

    file: str
    line: int | None = None
    column: int | None = None
    code: str
    message: str


class PackView(View):
    """A pack."""

    name: str
    version: str
    title: Texts
    description: Texts | None = None
    state: str = Field(description="enabled, disabled or broken")
    running: str | None = Field(default=None, description="the version that serves now")
    contents: dict[str, int] = Field(default_factory=dict, description="how many rules, sources, types, …")
    problems: list[PackProblem] = Field(default_factory=list)


class PackPage(Page[PackView]):
    """Packs."""


class PackCheck(View):
    """The outcome of a check; a pack with problems is refused whole."""

    ok: bool
    name: str | None = None
    problems: list[PackProblem]


class Health(View):
    """Whether the server is alive or ready; `parts` says what it waits for."""

    status: str = Field(description="ok or unavailable")
    parts: dict[str, str] = Field(default_factory=dict)


class DiskView(View):
    """Room on the data directory's disk."""

    total_bytes: int
    free_bytes: int


class SystemView(View):
    """The state of the system, for its operators."""

    version: str
    python: str
    started_at: Instant
    now: Instant
    disk: DiskView
    disk_full: bool = Field(description="ingest answers `unavailable` until there is room")
    intake: dict[str, Any]
    history: dict[str, Any]
    context: dict[str, Any]
    rules: dict[str, Any]
    commands: dict[str, Any]
    bus: list[dict[str, Any]] = Field(description="subscribers with their counters")
    consumers: list[dict[str, Any]] = Field(description="what applies the log, and how far it is")
    timers: list[dict[str, Any]] = Field(description="what each part does about once a second, and how that fares")
    adapters: list[dict[str, Any]]
    live_clients: int


class PackFiles(Entry):
    """A pack's files as text, by path inside the pack: `{"pack.yaml": "…", "rules/level.yaml": "…"}`."""

    name: Identifier
    files: dict[str, str] = Field(min_length=1, max_length=500)
