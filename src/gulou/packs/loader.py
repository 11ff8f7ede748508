"""Reads a pack's folder, whole or not at all: every problem is found and named with file, line and mend."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import gulou
from gulou.hub.rules import RuleSet
from gulou.kernel.documents import Document, Problem, broken, nearest, problems_of
from gulou.kernel.errors import Invalid
from gulou.packs.model import Manifest, Pack
from gulou.packs.story import Story, read_story
from gulou.sensing.sdk.mapping import FILE_PATTERN, Mapping
from gulou.vocabulary import Vocabulary

MANIFEST = "pack.yaml"
FOLDERS = frozenset({"vocabulary", "sources", "rules", "cases", "i18n", "maps", "areas", "demo"})
_FILES = frozenset({MANIFEST, "README.md", "CHANGELOG.md", "LICENSE"})
_ENDINGS = frozenset({".yaml", ".md", ".json", ".geojson", ".csv", ".ndjson", ""})
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.-]+)?")
MOST_FILES = 2_000
LARGEST_BYTES = 8 * 2**20

T = TypeVar("T")


def load_pack(root: Path, vocabulary: Vocabulary) -> Pack:
    """Read and check everything in ``root``.

    Args:
        vocabulary: a scratch copy, which this call extends by the pack's own types.

    Raises:
        Invalid: ``document.broken`` with every ``Problem`` found; nothing is taken over.
    """
    reading = _Reading(root)
    if not (root / MANIFEST).is_file():  # any folder, perhaps a whole disk: look no further
        raise broken([Problem("pack.no_manifest", {"name": MANIFEST}, MANIFEST)])
    manifest = reading.attempt(lambda: _read_manifest(root), MANIFEST)
    reading.attempt(reading.check_files, MANIFEST)
    folder = root / "vocabulary"
    types: list[str] | None = []
    others = frozenset(vocabulary.types)
    if folder.is_dir():
        types = reading.attempt(lambda: vocabulary.extend(folder, root.name), "vocabulary")
    if manifest is not None and manifest.retention and types is not None:
        own = [name for name in types if name not in others]
        reading.attempt(lambda: _check_retention(root, manifest, own), MANIFEST)
    mappings = reading.each(f"sources/{FILE_PATTERN}", Mapping.load)
    version = manifest.version if manifest else ""
    rules = reading.attempt(lambda: _read_rules(root, version, vocabulary), "rules")
    stories = reading.each("cases/*/story.yaml", lambda path: _read_story(root, path))
    if reading.problems or manifest is None or rules is None:
        raise broken(sorted(reading.problems, key=lambda problem: (problem.file, problem.line)))
    return Pack(manifest, root, tuple(types or ()), rules, tuple(mappings), tuple(stories))


class _Reading:
    """Collects the problems of one pack; a part that fails does not keep the others from being looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []

    def attempt(self, read: Callable[[], T], file: str) -> T | None:
        try:
            return read()
        except Invalid as error:
            self.problems += [self._inside(one) for one in problems_of(error) or [_as_problem(error, file)]]
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(Problem("pack.unreadable", {"detail": str(error)[:200]}, file))
        return None

    def each(self, pattern: str, read: Callable[[Path], T]) -> list[T]:
        made = []
        for path in sorted(self.root.glob(pattern)):
            one = self.attempt(lambda path=path: read(path), str(path.relative_to(self.root)))  # type: ignore[misc]
            if one is not None:
                made.append(one)
        return made

    def _inside(self, problem: Problem) -> Problem:
        """Name the file as it lies in the pack, wherever the pack lies."""
        file = Path(problem.file)
        if not file.is_relative_to(self.root):
            return problem
        return msgspec.structs.replace(problem, file=str(file.relative_to(self.root)))

    def check_files(self) -> None:
        shown = (path for path in self.root.rglob("*") if not path.name.startswith("."))
        files = list(islice(shown, MOST_FILES + 1))
        if len(files) > MOST_FILES:
            self.problems.append(Problem("pack.too_many_files", {"limit": MOST_FILES}, MANIFEST))
            return
        for path in sorted(files):
            name = str(path.relative_to(self.root))
            top = name.split("/", 1)[0]
            if path.is_symlink():
                self.problems.append(Problem("pack.link", {}, name))
            elif path.is_dir():
                if path.parent == self.root and top not in FOLDERS:
                    self._unknown(top)
            elif path.suffix not in _ENDINGS:
                self.problems.append(Problem("pack.not_declarative", {"ending": path.suffix}, name))
            elif path.parent == self.root and top not in _FILES:
                self._unknown(top)
            elif path.stat().st_size > LARGEST_BYTES:
                self.problems.append(Problem("pack.file_too_large", {"limit": LARGEST_BYTES}, name))

    def _unknown(self, name: str) -> None:
        known = FOLDERS | _FILES
        self.problems.append(
            Problem("pack.unknown_entry", {"name": name, "nearest": nearest(name, known) or "-"}, name)
        )


def _as_problem(error: Invalid, file: str) -> Problem:
    """Bring an error that was raised on its own into the same shape; its own file and line are kept."""
    params = dict(error.params)
    named = str(params.pop("file", file))
    line, column = params.pop("line", 0), params.pop("column", 0)
    return Problem(
        error.code, params, named, line if isinstance(line, int) else 0, column if isinstance(column, int) else 0
    )


def _read_manifest(root: Path) -> Manifest:
    document = Document.parse((root / MANIFEST).read_text(encoding="utf-8"), MANIFEST)
    data = document.data if isinstance(document.data, dict) else {}
    problems = [
        document.problem((key,), "document.unknown_key", key=key, nearest=nearest(str(key), _MANIFEST_KEYS) or "-")
        for key in data
        if key not in _MANIFEST_KEYS
    ]
    problems += [
        document.problem((), "document.missing_key", key=key) for key in ("pack", "version", "title") if key not in data
    ]
    if not problems:
        problems = list(_manifest_problems(document, data, root.name))
    if problems:
        raise broken(problems)
    return Manifest(
        name=data["pack"],
        version=str(data["version"]),
        title=data["title"],
        description=data.get("description", {}),
        gulou=str(data.get("gulou", "0.1")),
        licence=str(data.get("licence", "Apache-2.0")),
        retention=data.get("retention", {}),
    )


_MANIFEST_KEYS = ("pack", "version", "title", "description", "gulou", "licence", "retention")
_MOST_DAYS = 365_000


def _check_retention(root: Path, manifest: Manifest, types: list[str]) -> None:
    """Refuse days for a type that the pack does not bring, or only extends: those are not its own to forget."""
    document = Document.parse((root / MANIFEST).read_text(encoding="utf-8"), MANIFEST)
    problems = [
        document.problem(("retention", name), "pack.retention_type", type=name, nearest=nearest(name, types) or "-")
        for name in manifest.retention
        if name not in types
    ]
    if problems:
        raise broken(problems)


def _manifest_problems(document: Document, data: dict[str, Any], folder: str) -> list[Problem]:
    found = []
    name = data["pack"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        found.append(document.problem(("pack",), "pack.bad_name", name=str(name)))
    elif name != folder:
        found.append(document.problem(("pack",), "pack.other_folder", name=name, folder=folder))
    if not _VERSION.fullmatch(str(data["version"])):
        found.append(document.problem(("version",), "pack.bad_version", version=str(data["version"])))
    for key in ("title", "description"):
        texts = data.get(key, {"en": ""})
        if (
            not isinstance(texts, dict)
            or not all(isinstance(text, str) for text in texts.values())
            or "en" not in texts
        ):
            found.append(document.problem((key,), "document.wrong_kind", key=key, expected="{en: …, zh: …}"))
    found += _retention_problems(document, data.get("retention", {}))
    needed = str(data.get("gulou", "0.1")).lstrip(">= ")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", needed):
        found.append(document.problem(("gulou",), "pack.bad_version", version=needed))
    elif _numbers(needed) > _numbers(gulou.__version__):
        found.append(document.problem(("gulou",), "pack.needs_newer", needed=needed, present=gulou.__version__))
    return found


def _retention_problems(document: Document, retention: Any) -> list[Problem]:
    if not isinstance(retention, dict) or not all(isinstance(name, str) for name in retention):
        return [document.problem(("retention",), "document.wrong_kind", key="retention", expected="{Type: days}")]
    return [
        document.problem(("retention", name), "pack.retention_days", type=name, days=str(days)[:40], most=_MOST_DAYS)
        for name, days in retention.items()
        if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= _MOST_DAYS
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _read_rules(root: Path, version: str, vocabulary: Vocabulary) -> RuleSet:
    files = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for folder in ("rules", "areas")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and path.suffix in {".yaml", ".geojson"}
    }
    return RuleSet.parse(files, vocabulary, pack=root.name, version=version)


def _read_story(root: Path, path: Path) -> Story:
    return read_story(path.read_text(encoding="utf-8"), str(path.relative_to(root)), path.parent.name)
