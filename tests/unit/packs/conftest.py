"""Packs under test: folders written from texts, and a pack service on real services in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gulou.access import AccessService, Permission, Principal
from gulou.connectivity.bus import MemoryBus
from gulou.hub.context import ContextService, MemoryContextStore
from gulou.hub.rules import RuleService
from gulou.kernel.clock import VirtualClock
from gulou.packs import PackService
from gulou.records import Database
from gulou.sensing.sdk.mapping import MappingRegistry
from gulou.vocabulary import Vocabulary

START_US = 1_780_000_000_000_000

MANIFEST = """\
pack: harbour
version: 1.0.0
title: {en: Harbour, zh: 港口}
"""
RULE = """\
rules:
  - id: high-level
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {yellow: 1.5}
    category: harbour
    headline: "{name}: water at {value:.2f} m"
"""
MAPPING = """\
mapping: harbour-levels
format: rows
entity: {type: WaterLevelObserved, id: "{station}"}
time: {column: time, zone: Asia/Shanghai}
values:
  - {column: level, property: waterLevel, unit: m}
"""
TYPES = """\
extends: WaterLevelObserved
properties:
  salinity:
    label: {en: Salinity, zh: 盐度}
    kind: measured
    unit: "1"
    range: [0, 1]
"""
STORY = """\
story: {en: The tide comes, zh: 涨潮}
start: 2026-07-01T08:00:00+08:00
given:
  entities:
    - {id: "urn:ngsi-ld:WaterLevelObserved:g1", type: WaterLevelObserved}
steps:
  - {at: 10s, send: {"urn:ngsi-ld:WaterLevelObserved:g1": {waterLevel: 1.6}}}
  - at: 11s
    expect:
      - warning: {rule: harbour/high-level, severity: yellow, active: true}
"""
FILES = {
    "pack.yaml": MANIFEST,
    "rules/level.yaml": RULE,
    "sources/levels.mapping.yaml": MAPPING,
    "vocabulary/level.yaml": TYPES,
    "cases/tide/story.yaml": STORY,
}

Write = Callable[..., Path]


@pytest.fixture
def files() -> dict[str, str]:
    """A good pack, as texts by path; a test alters its own copy."""
    return dict(FILES)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a pack's files below ``packs/harbour``; what lay there before goes."""

    def write_pack(texts: dict[str, str], name: str = "harbour", folder: str = "packs") -> Path:
        root = tmp_path / folder / name
        for old in sorted(root.rglob("*"), reverse=True):
            old.rmdir() if old.is_dir() else old.unlink()
        root.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return root

    return write_pack


@dataclass
class Harness:
    """A pack service with what it puts packs into."""

    folder: Path
    database: Database = field(default_factory=lambda: Database("sqlite://"))
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_US))

    def __post_init__(self) -> None:
        self.database.create_tables()
        self.access = AccessService(self.database, self.clock)
        self.start()

    def start(self) -> None:
        """Build everything that lives in memory anew, as a restart does."""
        bus = MemoryBus()
        self.vocabulary = Vocabulary.load()
        self.mappings = MappingRegistry()
        context = ContextService(MemoryContextStore(), self.clock, bus, self.vocabulary, self.access.audit)
        self.rules = RuleService(self.database, self.clock, bus, context)
        self.packs = PackService(
            (self.folder / "packs", self.folder / "more"),
            self.folder / "running",
            self.vocabulary,
            self.mappings,
            self.rules,
            self.database,
            self.clock,
            self.access.audit,
        )

    def running_rules(self) -> list[tuple[str, object]]:
        """Every rule in force with its limits."""
        return sorted((view.rule.id, view.rule.pack) for view in self.rules.rules().views)

    def audited(self) -> list[tuple[str, str]]:
        page = self.access.audit.list()
        return [(entry.action, entry.object_id) for entry in reversed(page.items)]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    made = Harness(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def steward() -> Principal:
    return Principal.system("test")


@pytest.fixture
def viewer() -> Principal:
    return Principal(kind="user", id="u1", name="vera", roles=("viewer",), permissions=(Permission("entity.read"),))
