"""The mappings that are loaded, by name and by topic; packs come and go as a whole."""

from __future__ import annotations

import threading
from pathlib import Path

from gulou.kernel.documents import Problem, broken, problems_of
from gulou.kernel.errors import Conflict, Invalid, NotFound
from gulou.sensing.sdk.mapping.mapping import Mapping

FILE_PATTERN = "*.mapping.yaml"
_KEPT_TOPICS = 100_000


class MappingRegistry:
    """Loaded mappings, safe to use from several threads; a reader sees a pack's mappings all or not at all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, dict[str, Mapping]] = {}
        self._by_name: dict[str, Mapping] = {}
        self._by_topic: dict[str, tuple[Mapping, dict[str, str]] | None] = {}

    def load_directory(self, directory: Path, owner: str) -> list[Mapping]:
        """Load every ``*.mapping.yaml`` of a directory in place of what ``owner`` had before: all of them or none.

        Raises:
            Invalid: ``document.broken`` with the problems of all files.
            Conflict: ``mapping.name_taken``.
        """
        made: list[Mapping] = []
        problems: list[Problem] = []
        for path in sorted(directory.glob(FILE_PATTERN)):
            try:
                made.append(Mapping.load(path))
            except Invalid as error:
                found = problems_of(error)
                problems.extend(found or [Problem(error.code, error.params, str(path))])
        if problems:
            raise broken(problems)
        self.replace(owner, made)
        return made

    def replace(self, owner: str, mappings: list[Mapping]) -> None:
        """Put an owner's mappings in place of what it had.

        Raises:
            Conflict: ``mapping.name_taken``: another owner, or the owner itself, has that name already.
        """
        with self._lock:
            others = {name: mine for mine, held in self._owners.items() if mine != owner for name in held}
            named: dict[str, Mapping] = {}
            for mapping in mappings:
                if mapping.name in named or mapping.name in others:
                    raise Conflict("mapping.name_taken", mapping=mapping.name, owner=others.get(mapping.name, owner))
                named[mapping.name] = mapping
            self._owners = {**self._owners, owner: named}
            self._settle()

    def remove(self, owner: str) -> None:
        """Take an owner's mappings away; unknown owners are fine."""
        with self._lock:
            self._owners = {mine: held for mine, held in self._owners.items() if mine != owner}
            self._settle()

    def _settle(self) -> None:
        self._by_name = {name: one for held in self._owners.values() for name, one in held.items()}
        self._by_topic = {}

    def names(self) -> list[str]:
        """Return the names, sorted."""
        return sorted(self._by_name)

    def all(self) -> list[Mapping]:
        """Return every loaded mapping, sorted by name."""
        return [self._by_name[name] for name in self.names()]

    def find(self, name: str) -> Mapping | None:
        """Return a mapping, or None."""
        return self._by_name.get(name)

    def get(self, name: str) -> Mapping:
        """Return a mapping. Raises NotFound ``mapping.unknown``."""
        mapping = self._by_name.get(name)
        if mapping is None:
            raise NotFound("mapping.unknown", mapping=name, known=", ".join(self.names()))
        return mapping

    def find_topic(self, topic: str) -> tuple[Mapping, dict[str, str]] | None:
        """Return the first mapping (by name) that matches a topic, and the captures; None when none does."""
        kept = self._by_topic
        if topic in kept:
            return kept[topic]
        found = None
        for mapping in self.all():
            for pattern in mapping.patterns:
                captures = pattern.match(topic)
                if captures is not None and found is None:
                    found = (mapping, captures)
        if len(kept) < _KEPT_TOPICS:
            kept[topic] = found
        return found
