"""A pack's rules as one whole: taken together or refused together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gulou.hub.rules.curves import PointTable
from gulou.hub.rules.format.names import NameBook
from gulou.hub.rules.format.rule_part import RuleReader
from gulou.hub.rules.format.source import Source
from gulou.hub.rules.format.tables_part import read_table
from gulou.hub.rules.garbage import without_collections
from gulou.hub.rules.model import Derive, Rule
from gulou.hub.rules.ports import VocabularySource
from gulou.kernel.documents import Document, Problem, broken, problems_of
from gulou.kernel.errors import Invalid

_MOST_RULES = 100_000
_MOST_TABLES = 1_000
_RULE_FILES = (".yaml", ".yml")


@dataclass(frozen=True)
class RuleSet:
    """The rules of one pack.

    Args:
        rules: in the order of the files, disabled ones too.
    """

    pack: str
    version: str
    rules: tuple[Rule, ...]
    tables: Mapping[str, PointTable]

    @cached_property
    def derivations(self) -> tuple[Rule, ...]:
        """The rules that compute properties."""
        return tuple(rule for rule in self.rules if isinstance(rule.condition, Derive))

    @classmethod
    def parse(
        cls, files: Mapping[str, str], vocabulary: VocabularySource, *, pack: str = "pack", version: str = ""
    ) -> RuleSet:
        """Read a pack's rules.

        Args:
            files: path inside the pack → text. YAML files under ``rules/`` are read (every YAML file where no path has
                that folder); any other file can be named by a rule as an area.
            pack: the pack's name, first part of every rule's id.

        Raises:
            Invalid: ``document.broken`` with every problem: file, line, column, code, params.
        """
        with without_collections():
            return _PackReader(files, vocabulary, pack, version).read()


class _PackReader:
    def __init__(self, files: Mapping[str, str], vocabulary: VocabularySource, pack: str, version: str) -> None:
        self._files = files
        self._vocabulary = vocabulary
        self._pack = pack
        self._version = version
        self._problems: list[Problem] = []
        self._tables: dict[str, PointTable] = {}
        self._rules: dict[str, Rule] = {}
        self._book = NameBook(vocabulary, self._tables)
        self._shared: dict[Any, Any] = {}

    def read(self) -> RuleSet:
        paths, opened = self._rule_paths(), dict[str, Source | None]()
        for path in paths:  # tables first: a rule may use one of another file
            if "tables:" in self._files[path]:
                opened[path] = self._open_with_tables(path)
        for path in paths:  # one after the other: with their positions, very many rules would fill the memory
            source = opened.pop(path) if path in opened else self._open_with_tables(path)
            if source is not None:
                self._read_rules(source)
                self._problems.extend(source.problems)
        if not self._problems:
            self._check_cycles()
        if self._problems:
            raise broken(sorted(self._problems, key=lambda one: (one.file, one.line, one.column)))
        return RuleSet(self._pack, self._version, tuple(self._rules.values()), self._tables)

    def _rule_paths(self) -> list[str]:
        yaml = sorted(path for path in self._files if path.endswith(_RULE_FILES))
        inside = [path for path in yaml if path.startswith("rules/") or "/rules/" in path]
        return inside or yaml

    def _open(self, path: str) -> Source | None:
        try:
            document = Document.parse(self._files[path], path)
        except Invalid as error:
            self._problems.extend(problems_of(error))
            return None
        return Source(document, self._files[path], self._shared)

    def _open_with_tables(self, path: str) -> Source | None:
        source = self._open(path)
        if source is not None:
            self._read_tables(source)
        return source

    def _read_tables(self, source: Source) -> None:
        data = source.mapping(source.document.data, ())
        source.known_keys(data, ("rules", "tables"), ())
        for index, raw in enumerate(source.listing(data.get("tables"), ("tables",), _MOST_TABLES)):
            table = read_table(source, raw, ("tables", index))
            if table is None:
                continue
            if table.id in self._tables:
                source.complain(("tables", index, "id"), "rules.id_twice", id=table.id)
            self._tables[table.id] = table

    def _read_rules(self, source: Source) -> None:
        data = source.document.data if isinstance(source.document.data, dict) else {}
        for index, raw in enumerate(source.listing(data.get("rules"), ("rules",), _MOST_RULES)):
            rule = RuleReader(source, ("rules", index), self._pack, self._book, self._tables, self._files).read(raw)
            if rule is None:
                continue
            if rule.id in self._rules:
                source.complain(("rules", index, "id"), "rules.id_twice", id=rule.name)
            self._rules[rule.id] = rule

    def _check_cycles(self) -> None:
        circle = find_derivation_cycle(self._rules.values())
        if circle is not None:
            rule, path = circle
            self._problems.append(Problem("rules.derive_cycle", {"circle": path}, rule.file, rule.line, 1))


def find_derivation_cycle(rules: Iterable[Rule]) -> tuple[Rule, str] | None:
    """Find derived properties that depend on each other, which would never come to rest.

    Returns:
        A rule of the circle and the circle as text, or None.
    """
    made: dict[tuple[str, str], tuple[Rule, frozenset[str]]] = {}
    for rule in rules:
        if isinstance(rule.condition, Derive) and rule.enabled:
            made[rule.select.entity_type, rule.condition.property] = (rule, rule.condition.value.inputs)
    done: set[tuple[str, str]] = set()

    def visit(key: tuple[str, str], trail: tuple[str, ...]) -> tuple[Rule, str] | None:
        if key[1] in trail:
            return made[key][0], " → ".join((*trail[trail.index(key[1]) :], key[1]))
        if key not in made or key in done or len(trail) > 100:
            return None
        for name in sorted(made[key][1]):
            circle = visit((key[0], name), (*trail, key[1]))
            if circle is not None:
                return circle
        done.add(key)
        return None

    for start in sorted(made):
        circle = visit(start, ())
        if circle is not None:
            return circle
    return None
