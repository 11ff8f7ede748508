"""Finds packs, and puts them in and out of service while the platform runs."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sqlalchemy import BigInteger, Boolean, Column, String, Table, delete, insert, select

from gulou.access import Audit, Principal
from gulou.hub.rules import RuleService
from gulou.kernel.clock import Clock
from gulou.kernel.documents import Problem, problems_of
from gulou.kernel.errors import Invalid, NotFound
from gulou.packs.loader import MANIFEST, load_pack
from gulou.packs.model import Pack, PackStatus
from gulou.records import Database, metadata
from gulou.sensing.sdk.mapping import MappingRegistry
from gulou.vocabulary import Vocabulary

packs_table = Table(
    "packs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("changed_at_us", BigInteger, nullable=False),
)


class PackService:
    """The packs of this city.

    Args:
        folders: where packs lie, each a folder of its own; the first folder that has a name wins.
        running: where a copy of each enabled pack is kept, so that a broken edit does not stop what ran before.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        running: Path,
        vocabulary: Vocabulary,
        mappings: MappingRegistry,
        rules: RuleService,
        database: Database,
        clock: Clock,
        audit: Audit,
    ) -> None:
        self._folders = tuple(folders)
        self._running = running
        self._vocabulary = vocabulary
        self._mappings = mappings
        self._rules = rules
        self._database = database
        self._clock = clock
        self._audit = audit
        self._live: dict[str, Pack] = {}
        self._lock = threading.RLock()

    def start(self) -> list[PackStatus]:
        """Load what was enabled; a pack that has been broken since runs on in its last good version."""
        with self._lock:
            for name in self._enabled_names():
                for root in (self._find(name), self._running / name):
                    try:
                        if root is not None and root.is_dir():
                            self._go_live(self._load(root))
                            break
                    except Invalid:
                        continue  # the status says what is wrong; the copy that ran last is tried next
        return self.all()

    def all(self) -> list[PackStatus]:
        """Return every pack that is found, by name, with its state and problems."""
        return [self._status(name, root) for name, root in sorted(self._discover().items())]

    def get(self, name: str) -> PackStatus:
        """Return one pack; raises NotFound ``pack.unknown``."""
        return self._status(name, self._root(name))

    def load(self, name: str) -> Pack:
        """Read one pack without enabling it; raises NotFound, or Invalid ``document.broken``."""
        return self._load(self._root(name))

    def check(self, root: Path) -> list[Problem]:
        """Return every problem of the pack in ``root``; empty when it is good."""
        try:
            self._load(root)
        except Invalid as error:
            return problems_of(error)
        return []

    def check_files(self, name: str, files: dict[str, str]) -> list[Problem]:
        """Check a pack that is given as texts by path inside the pack."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / PurePosixPath(name).name
            root.mkdir()
            for path, text in files.items():
                parts = PurePosixPath(path)
                if parts.is_absolute() or ".." in parts.parts or len(parts.parts) > 8:
                    return [Problem("pack.unknown_entry", {"name": path, "nearest": "-"}, path)]
                target = root.joinpath(*parts.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            return self.check(root)

    def enable(self, name: str, principal: Principal) -> PackStatus:
        """Put a pack into service, or its newest version in place of the running one.

        Raises:
            Invalid: ``document.broken``; refused whole, the running version stays.
        """
        principal.require("pack.manage")
        with self._lock:
            pack = self._load(self._root(name))
            self._keep(pack)
            self._go_live(pack)
            self._remember(name, enabled=True)
            self._audit.record(principal, "pack.enable", "pack", name, {"version": pack.manifest.version})
            return self.get(name)

    def disable(self, name: str, principal: Principal) -> PackStatus:
        """Take a pack out of service: its rules, mappings and types go; what they made stays."""
        principal.require("pack.manage")
        with self._lock:
            status = self.get(name)
            if name in self._live:
                self._rules.remove(name)
                self._mappings.remove(name)
                self._vocabulary.remove(name)
                del self._live[name]
            self._remember(name, enabled=False)
            self._audit.record(principal, "pack.disable", "pack", name, {"version": status.version})
            return self.get(name)

    def _discover(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for manifest in folder.glob(f"*/{MANIFEST}"):
                found.setdefault(manifest.parent.name, manifest.parent)
        return found

    def _find(self, name: str) -> Path | None:
        return self._discover().get(name)

    def _root(self, name: str) -> Path:
        root = self._find(name)
        if root is None:
            raise NotFound("pack.unknown", name=name)
        return root

    def _load(self, root: Path) -> Pack:
        scratch = Vocabulary.load()
        for name, pack in self._live.items():
            if name != root.name and pack.types:
                scratch.extend(pack.root / "vocabulary", name)
        return load_pack(root, scratch)

    def _go_live(self, pack: Pack) -> None:
        name = pack.manifest.name
        folder = pack.root / "vocabulary"
        if folder.is_dir():
            self._vocabulary.extend(folder, name)
        else:
            self._vocabulary.remove(name)
        self._mappings.replace(name, list(pack.mappings))
        self._rules.load(pack.rules)
        self._live[name] = pack

    def _keep(self, pack: Pack) -> None:
        target = self._running / pack.manifest.name
        fresh = self._running / f".{pack.manifest.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(pack.root, fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)

    def _status(self, name: str, root: Path) -> PackStatus:
        live = self._live.get(name)
        problems: tuple[Problem, ...] = ()
        pack: Pack | None = None
        try:
            pack = self._load(root)
        except Invalid as error:
            problems = tuple(problems_of(error))
        shown = pack or live
        return PackStatus(
            name=name,
            version=shown.manifest.version if shown else "",
            title=shown.manifest.title if shown else {"en": name},
            description=shown.manifest.description if shown else {},
            state="broken" if problems else "enabled" if live else "disabled",
            running=live.manifest.version if live else None,
            contents=_contents(shown) if shown else {},
            problems=problems,
        )

    def never_decided(self) -> bool:
        """Whether no pack has ever been enabled or disabled here: a first start."""
        with self._database.reading() as connection:
            return connection.execute(select(packs_table.c.name).limit(1)).first() is None

    def _enabled_names(self) -> list[str]:
        with self._database.reading() as connection:
            wanted = select(packs_table.c.name).where(packs_table.c.enabled).order_by(packs_table.c.name)
            return list(connection.execute(wanted).scalars())

    def _remember(self, name: str, *, enabled: bool) -> None:
        with self._database.transaction() as connection:
            connection.execute(delete(packs_table).where(packs_table.c.name == name))
            row = {"name": name, "enabled": enabled, "changed_at_us": self._clock.now_us()}
            connection.execute(insert(packs_table).values(row))


def _contents(pack: Pack) -> dict[str, int]:
    return {
        "rules": len(pack.rules.rules),
        "mappings": len(pack.mappings),
        "types": len(pack.types),
        "stories": len(pack.stories),
    }
