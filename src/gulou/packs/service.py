"""Finds packs, and puts them in and out of service while the platform runs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, String, Table, delete, insert, select

from gulou.access import Audit, Principal
from gulou.hub.rules import RuleService
from gulou.kernel.clock import Clock
from gulou.kernel.documents import Problem, problems_of
from gulou.kernel.errors import Conflict, GulouError, Invalid, NotFound, Unavailable
from gulou.packs.loader import LARGEST_BYTES, MANIFEST, MOST_FILES, NAME, load_pack
from gulou.packs.model import Manifest, Pack, PackStatus
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
_DEEPEST = 8


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
        self._refused: dict[str, list[Problem]] = {}
        self._followed: dict[str, str] = {}
        self._shown: dict[str, tuple[tuple[str, int], Manifest, dict[str, int]]] = {}
        """What was read of a pack in good order, with the marks of its files and of the others' types."""
        self._types_changed = 0
        self._prepared: tuple[tuple[str, int], Pack] | None = None
        self._lock = threading.RLock()

    def start(self) -> None:
        """Put into force what was in force last, then the newer versions that lie in the packs' folders.

        A pack that has been broken since runs on in its last good version; its status says what is wrong.
        """
        with self._lock:
            waiting = self._enabled_names()
            while waiting:
                left = [name for name in waiting if not self._revive(name)]
                if len(left) == len(waiting):
                    break
                waiting = left  # one may have built on the types of another that came later
            for name in tuple(self._live):
                root = self._find(name)
                if root is not None and not _equal_folders(root, self._running / name):
                    self._try(name, root)

    def follow(self) -> None:
        """Put into force what another process of this installation has in force; nothing is written.

        That process keeps the copies; what has not changed since the last time is left as it is.
        """
        with self._lock:
            wanted = self._enabled_names()
            for name in [name for name in self._live if name not in wanted]:
                self._withdraw(name)
                del self._live[name]
                self._followed.pop(name, None)
            marks = {name: _mark_of(self._running / name) for name in wanted}
            waiting = [name for name in wanted if marks[name] and self._followed.get(name) != marks[name]]
            while waiting:
                left = [name for name in waiting if not self._try(name, self._running / name)]
                self._followed |= {name: marks[name] for name in waiting if name not in left}
                if len(left) == len(waiting):
                    break
                waiting = left
            self._prepared = None

    def _revive(self, name: str) -> bool:
        roots = (self._running / name, self._find(name))
        return any(root is not None and root.is_dir() and self._try(name, root) for root in roots)

    def _try(self, name: str, root: Path) -> bool:
        try:
            mark, pack = self._read(root)
            self._take_over(pack)
            self._show(mark, pack)
        except (Invalid, Conflict) as error:
            self._refused[name] = _problems(error)
            return False
        return True

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
            return _problems(error)
        return []

    def check_files(self, name: str, files: dict[str, str]) -> list[Problem]:
        """Check a pack that is given as texts by path inside the pack."""
        if not NAME.fullmatch(name):
            return [Problem("pack.bad_name", {"name": name}, MANIFEST)]
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / name
            root.mkdir()
            for path, text in files.items():
                if not _write(root, path, text):
                    return [Problem("pack.unknown_entry", {"name": path[:200], "nearest": "-"}, path[:200])]
            return self.check(root)

    def enable(self, name: str, principal: Principal) -> PackStatus:
        """Put a pack into service, or its newest version in place of the running one.

        Raises:
            Invalid: ``document.broken``; refused whole, the running version stays.
            Conflict: it does not go together with another running pack: ``mapping.name_taken``,
                ``rules.derive_conflict``; refused whole likewise.
            Unavailable: ``pack.not_kept``: there is no room for its copy.
        """
        principal.require("pack.manage")
        with self._lock:
            root = self._root(name)
            mark, pack = self._read(root)
            self._take_over(pack)
            self._show(mark, pack)
            self._remember(name, enabled=True)
            self._audit.record(principal, "pack.enable", "pack", name, {"version": pack.manifest.version})
            return self.get(name)

    def disable(self, name: str, principal: Principal) -> PackStatus:
        """Take a pack out of service: its rules, mappings and types go; what they made stays."""
        principal.require("pack.manage")
        with self._lock:
            status = self.get(name)
            if name in self._live:
                self._withdraw(name)
                del self._live[name]
            self._remember(name, enabled=False)
            self._audit.record(principal, "pack.disable", "pack", name, {"version": status.version})
            return msgspec.structs.replace(status, state="broken" if status.problems else "disabled", running=None)

    def _discover(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for manifest in folder.glob(f"*/{MANIFEST}"):
                found.setdefault(manifest.parent.name, manifest.parent)
        for name, pack in list(self._live.items()):  # its folder may have gone since
            found.setdefault(name, pack.root)
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
        for name, pack in list(self._live.items()):
            if name != root.name and pack.types:
                scratch.extend(pack.root / "vocabulary", name)
        return load_pack(root, scratch)

    def prepare(self, name: str) -> None:
        """Read a pack that another process is just putting into force, so that ``follow`` need not; any thread may."""
        root = self._find(name)
        if root is not None:
            with suppress(GulouError):
                self._prepared = self._read(root)

    def _read(self, root: Path) -> tuple[tuple[str, int], Pack]:
        """Read a pack, unless that has been done already; return it with its mark."""
        mark, live, prepared = self._mark(root), self._live.get(root.name), self._prepared
        if live is not None and self._shown.get(root.name, (None,))[0] == mark:
            return mark, msgspec.structs.replace(live, root=root)
        self._prepared = None
        if prepared is not None and prepared[0] == mark and prepared[1].root.name == root.name:
            return mark, msgspec.structs.replace(prepared[1], root=root)
        return mark, self._load(root)

    def _mark(self, root: Path) -> tuple[str, int]:
        """Identify all that reading a pack depends on; taken before it is read."""
        return _mark_of(root), self._types_changed

    def _show(self, mark: tuple[str, int], pack: Pack) -> None:
        self._shown[pack.manifest.name] = (mark, pack.manifest, _contents(pack))

    def _take_over(self, pack: Pack) -> None:
        """Put a checked pack into force from a copy of its own, all of it or nothing."""
        name = pack.manifest.name
        kept = self._running / name
        before = self._live.get(name)
        copy = kept if pack.root == kept or _equal_folders(pack.root, kept) else self._copy(pack)
        try:
            self._put(msgspec.structs.replace(pack, root=copy))
        except GulouError:
            if before is None:
                self._withdraw(name)
            else:
                self._put(before)
            raise
        if copy != kept:
            shutil.rmtree(kept, ignore_errors=True)
            copy.rename(kept)
        if pack.types or (before is not None and before.types):
            self._types_changed += 1
        self._live[name] = msgspec.structs.replace(pack, root=kept)
        self._refused.pop(name, None)

    def _put(self, pack: Pack) -> None:
        name = pack.manifest.name
        self._mappings.replace(name, list(pack.mappings))
        if pack.types:
            self._vocabulary.extend(pack.root / "vocabulary", name)
        else:
            self._vocabulary.remove(name)
        self._rules.load(pack.rules)

    def _withdraw(self, name: str) -> None:
        self._vocabulary.remove(name)  # the only one that may refuse: another pack builds on its types
        self._rules.remove(name)
        self._mappings.remove(name)
        self._types_changed += 1

    def _copy(self, pack: Pack) -> Path:
        fresh = self._running / f".{pack.manifest.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            shutil.copytree(pack.root, fresh)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            detail = error.strerror or "the copy was not complete"
            raise Unavailable("pack.not_kept", name=pack.manifest.name, detail=detail) from error
        return fresh

    def _status(self, name: str, root: Path) -> PackStatus:
        live = self._live.get(name)
        problems: tuple[Problem, ...] = () if live else tuple(self._refused.get(name, ()))
        mark = self._mark(root)
        if self._shown.get(name, (None,))[0] != mark:
            self._shown.pop(name, None)
            try:
                self._show(mark, self._load(root))
            except Invalid as error:
                problems = tuple(_problems(error))
        read = self._shown.get(name)
        if read is not None:
            _, manifest, contents = read
        else:
            manifest, contents = (live.manifest, _contents(live)) if live else (Manifest(name, "", {"en": name}), {})
        return PackStatus(
            name=name,
            version=manifest.version,
            title=manifest.title,
            description=manifest.description,
            state="broken" if problems else "enabled" if live else "disabled",
            running=live.manifest.version if live else None,
            contents=contents,
            problems=problems,
        )

    def retention(self) -> dict[str, int]:
        """Return the days that running packs want readings of their types to be kept, by type."""
        return {name: days for pack in list(self._live.values()) for name, days in pack.manifest.retention.items()}

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


def _problems(error: GulouError) -> list[Problem]:
    found = problems_of(error) if isinstance(error, Invalid) else []
    return found or [Problem(error.code, dict(error.params), MANIFEST)]


def _write(root: Path, path: str, text: str) -> bool:
    """Write one text inside ``root``; False when its path leads out, or is none."""
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or len(parts.parts) > _DEEPEST:
        return False
    target = root.joinpath(*parts.parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except (OSError, ValueError):  # a file where a folder should be, a name too long, a zero byte
        return False
    return True


def _mark_of(folder: Path) -> str:
    """Return a digest of a folder's names and bytes; empty when nothing is there.

    Files that are too large or too many to be a pack's are told by their size and time.
    """
    entries = sorted(islice(folder.rglob("*"), MOST_FILES + 1)) if folder.is_dir() else []
    digest = hashlib.blake2b(digest_size=16)
    for path in entries:
        digest.update(f"{path.relative_to(folder)}\0{path.is_symlink()}\0{path.is_dir()}\0".encode())
        if path.is_file():
            facts = path.stat()
            small = facts.st_size <= LARGEST_BYTES
            digest.update(hashlib.blake2b(path.read_bytes()).digest() if small else repr(facts).encode())
    return digest.hexdigest() if entries else ""


def _equal_folders(one: Path, other: Path) -> bool:
    """Say whether two folders hold the same files with the same bytes."""
    files = _files_in(one)
    return files == _files_in(other) and all((one / path).read_bytes() == (other / path).read_bytes() for path in files)


def _files_in(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) if root.is_dir() else []
