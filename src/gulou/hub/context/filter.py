r"""The filter language of NGSI-LD: ``waterLevel>2.5;(district=="Dongcheng"|name~="bridge")``.

    filter    = term {("|" | ";") term}          ";" is AND and binds tighter than "|", which is OR
    term      = "(" filter ")" | ["!"] path | path operator value
    path      = name {"." name} ["[" name {"." name} "]"]
    operator  = "==" | "!=" | ">" | ">=" | "<" | "<=" | "~=" (pattern) | "!~=" (no match)
    value     = number | "text" | true | false | time or URI without quotes | value ".." value | value {"," value}

After the first name a path goes to sub-attributes and to ``observedAt``, ``modifiedAt``, ``unitCode``, ``datasetId``;
what is in brackets goes into the value itself: a member of a JSON object, a language of a language property. A path
alone asks for existence. Patterns are RE2, which takes linear time whatever the pattern.

Source: ETSI GS CIM 009 V1.8.1 §4.9
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from gulou.hub.context.model import Attribute, Entity
from gulou.kernel.clock import from_rfc3339, to_rfc3339
from gulou.kernel.errors import Invalid

MAX_LENGTH = 2_000
_MAX_DEPTH = 20
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<operator>!~=|~=|==|!=|>=|<=|>|<)
    | (?P<mark>\.\.|[;|()\[\],!])
    | (?P<word>[^\s;|()\[\],!<>=~"]+?(?=\.\.|[\s;|()\[\],!<>=~"]|$))
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*|\d{4}-\d\d-\d\d")

Test = Callable[[Entity], bool]


class View(Protocol):
    """Where a filter finds what an entity's attributes are now."""

    def instances(self, entity: Entity, name: str) -> tuple[Attribute, ...]: ...

    def modified_us(self, entity: Entity) -> int: ...


class Bare:
    """The entity itself says it all."""

    def instances(self, entity: Entity, name: str) -> tuple[Attribute, ...]:
        return entity.attributes.get(name, ())

    def modified_us(self, entity: Entity) -> int:
        return entity.modified_at_us


class NumberTerm(msgspec.Struct, frozen=True):
    """``name operator value``: some instance of an attribute is a number that is so.

    Args:
        operator: ``==``, ``>``, ``>=``, ``<`` or ``<=``.
    """

    name: str
    operator: str
    value: float


class Filter(msgspec.Struct, frozen=True):
    """A compiled filter.

    Args:
        test: says whether an entity passes; ask it only for entities that ``prepare`` has seen.
        patterns: the pattern terms, which match all texts in one go.
        numbers: terms that every entity that passes fulfils; there may be more to the filter.
    """

    test: Test
    patterns: list[_Pattern]
    numbers: list[NumberTerm] = []

    def select(self, entities: Iterable[Entity]) -> list[Entity]:
        """Return those that pass."""
        found = list(entities)
        for pattern in self.patterns:
            pattern.prepare(found)
        return [entity for entity in found if self.test(entity)]


def parse_filter(text: str, view: View | None = None) -> Filter:
    """Compile a filter for one use.

    Args:
        view: where attributes are looked up; None: in the entities as they are given.

    Raises:
        Invalid: ``entity.q_…`` with ``position``, counted from 1.
    """
    if len(text) > MAX_LENGTH:
        raise Invalid("entity.q_too_long", limit=MAX_LENGTH)
    parser = _Parser(text, view or Bare())
    test = parser.parse()
    return Filter(test, parser.patterns, parser.numbers)


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    position: int


class _Path(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    inside: tuple[str, ...]
    view: Any

    @property
    def is_name(self) -> bool:
        """Whether it is an attribute's name and no more."""
        return len(self.names) == 1 and not self.inside and self.names[0] not in {"createdAt", "modifiedAt"}

    def values(self, entity: Entity) -> Iterator[Any]:
        """Yield every value that the path leads to; several where there are several instances or languages."""
        if len(self.names) == 1 and self.names[0] in {"createdAt", "modifiedAt"}:
            created = self.names[0] == "createdAt"
            yield to_rfc3339(entity.created_at_us if created else self.view.modified_us(entity))
            return
        for attribute in self.view.instances(entity, self.names[0]):
            yield from self._descend(attribute, 1)

    def _descend(self, attribute: Attribute, depth: int) -> Iterator[Any]:
        if depth == len(self.names):
            yield from _inside(attribute, self.inside)
            return
        name = self.names[depth]
        if name in attribute.sub:
            for sub in attribute.sub[name]:
                yield from self._descend(sub, depth + 1)
        elif depth == len(self.names) - 1 and name in _METADATA:
            value = _METADATA[name](attribute)
            if value is not None:
                yield value


_METADATA: dict[str, Callable[[Attribute], Any]] = {
    "observedAt": lambda a: None if a.observed_at_us is None else to_rfc3339(a.observed_at_us),
    "modifiedAt": lambda a: to_rfc3339(a.modified_at_us),
    "unitCode": lambda a: a.unit_code,
    "datasetId": lambda a: a.dataset_id,
}


def _inside(attribute: Attribute, path: tuple[str, ...]) -> Iterator[Any]:
    value = attribute.value
    if attribute.kind == "LanguageProperty" and path in {(), ("*",)}:
        yield from value.values()
        return
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return
        value = value[name]
    yield value


class _Pattern:
    """Matches a path's texts against a pattern, all different ones at once."""

    def __init__(self, path: _Path, pattern: str, position: int) -> None:
        self._path, self._pattern = path, pattern
        self._matching: set[str] = set()
        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            raise Invalid("entity.q_pattern", position=position, pattern=pattern[:100]) from error

    def prepare(self, entities: list[Entity]) -> None:
        texts = {text for entity in entities for text in _texts(self._path.values(entity))}
        column = pa.array(list(texts), pa.string())
        self._matching = set(column.filter(pc.match_substring_regex(column, self._pattern)).to_pylist())

    def test(self, entity: Entity) -> bool:
        return any(text in self._matching for text in _texts(self._path.values(entity)))


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str):
                yield one


class _Parser:
    """Recursive descent; each method reads one rule of the grammar."""

    def __init__(self, text: str, view: View) -> None:
        self._view = view
        self._tokens = list(_tokenize(text))
        self._next = 0
        self.patterns: list[_Pattern] = []
        self.numbers: list[NumberTerm] = []
        self._number: NumberTerm | None = None  # what the newest term is, if it is such a one

    def parse(self) -> Test:
        test = self._either(0)
        if self._peek().kind != "end":
            raise self._unexpected("; or |")
        return test

    def _either(self, depth: int) -> Test:
        if depth > _MAX_DEPTH:
            raise Invalid("entity.q_too_deep", position=self._peek().position, limit=_MAX_DEPTH)
        tests = [self._both(depth)]
        while self._take("|"):
            tests.append(self._both(depth))
            if depth == 0:
                self.numbers = []
        return tests[0] if len(tests) == 1 else lambda entity: any(test(entity) for test in tests)

    def _both(self, depth: int) -> Test:
        tests, numbers = [self._term(depth)], [self._number]
        while self._take(";"):
            tests.append(self._term(depth))
            numbers.append(self._number)
        if depth == 0:
            self.numbers = [one for one in numbers if one is not None]
        self._number = None
        return tests[0] if len(tests) == 1 else lambda entity: all(test(entity) for test in tests)

    def _term(self, depth: int) -> Test:
        self._number = None
        if self._take("("):
            test = self._either(depth + 1)
            if not self._take(")"):
                raise self._unexpected(")")
            return test
        if self._take("!"):
            absent = self._path()
            return lambda entity: next(absent.values(entity), None) is None
        path = self._path()
        token = self._peek()
        if token.kind != "operator":
            return lambda entity: next(path.values(entity), None) is not None
        self._next += 1
        if token.text in {"~=", "!~="}:
            return self._pattern(path, token.text == "!~=")
        return self._comparison(path, token.text)

    def _pattern(self, path: _Path, negated: bool) -> Test:
        token = self._peek()
        if token.kind not in {"text", "word"}:
            raise self._unexpected("a pattern")
        self._next += 1
        pattern = _Pattern(path, _unquoted(token) if token.kind == "text" else token.text, token.position)
        self.patterns.append(pattern)
        if not negated:
            return pattern.test
        return lambda entity: next(path.values(entity), None) is not None and not pattern.test(entity)

    def _comparison(self, path: _Path, operator: str) -> Test:
        first = self._value()
        several = self._peek().text in {"..", ","} and self._peek().kind == "mark"
        if operator != "!=" and not several and isinstance(first, float) and path.is_name:
            self._number = NumberTerm(path.names[0], operator, first)
        if operator not in {"==", "!="}:
            order = _ORDERS[operator]
            return lambda entity: any(_ordered(value, first, order) for value in path.values(entity))
        if self._take(".."):
            last = self._value()
            matches: Callable[[Any], bool] = lambda value: _within(value, first, last)  # noqa: E731
        else:
            wanted = [first]
            while self._take(","):
                wanted.append(self._value())
            matches = lambda value: any(_equal(value, one) for one in wanted)  # noqa: E731
        if operator == "==":
            return lambda entity: any(matches(value) for value in path.values(entity))
        # "!=" asks for an attribute that is there and is none of these
        return lambda entity: _all_but(path.values(entity), matches)

    def _path(self) -> _Path:
        token = self._peek()
        if token.kind != "word":
            raise self._unexpected("an attribute's name")
        self._next += 1
        names = tuple(token.text.split("."))
        inside: tuple[str, ...] = ()
        if self._take("["):
            member = self._peek()
            if member.kind not in {"word", "text"}:
                raise self._unexpected("a member's name")
            self._next += 1
            inside = (_unquoted(member),) if member.kind == "text" else tuple(member.text.split("."))
            if not self._take("]"):
                raise self._unexpected("]")
        if not all(names) or not all(inside):
            raise Invalid("entity.q_unexpected", position=token.position, found=token.text, expected="a name")
        return _Path(names, inside, self._view)

    def _value(self) -> Any:
        token = self._peek()
        if token.kind == "text":
            self._next += 1
            return _unquoted(token)
        if token.kind != "word":
            raise self._unexpected("a value")
        self._next += 1
        if token.text in {"true", "false"}:
            return token.text == "true"
        if _NUMBER.fullmatch(token.text):
            return float(token.text)
        if _TIME.fullmatch(token.text):
            instant = _as_instant(token.text)
            if instant is None:
                raise Invalid("entity.q_time", position=token.position, value=token.text[:60])
            return _Instant(instant)
        return token.text

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, mark: str) -> bool:
        token = self._peek()
        if token.kind != "mark" or token.text != mark:
            return False
        self._next += 1
        return True

    def _unexpected(self, expected: str) -> Invalid:
        token = self._peek()
        found = token.text[:40] or "the end"
        return Invalid("entity.q_unexpected", position=token.position, found=found, expected=expected)


class _Instant(msgspec.Struct, frozen=True):
    us: int


def _tokenize(text: str) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise Invalid("entity.q_unexpected", position=position + 1, found=text[position:][:20], expected="a name")
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind], match.start(kind) + 1)
        position = match.end()
    yield _Token("end", "", end + 1)


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)


def _as_instant(text: str) -> int | None:
    try:
        return from_rfc3339(text if len(text) > 10 else f"{text}T00:00:00Z")
    except Invalid:
        return None


def _comparable(value: Any, wanted: Any) -> Any:
    """Return ``value`` as what ``wanted`` is, or None when the two cannot be compared."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value if isinstance(value, bool) and isinstance(wanted, bool) else None
    if isinstance(wanted, float):
        return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else None
    if isinstance(value, dict) and "@value" in value:
        value = value["@value"]
    if isinstance(wanted, _Instant):
        instant = _as_instant(value) if isinstance(value, str) and _TIME.fullmatch(value) else None
        return None if instant is None else _Instant(instant)
    return value if isinstance(value, str) else None


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, list):
        return any(_equal(one, wanted) for one in value)
    return bool(_comparable(value, wanted) == wanted)


def _key(value: Any) -> Any:
    return value.us if isinstance(value, _Instant) else value


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _ordered(value: Any, wanted: Any, order: Callable[[Any, Any], bool]) -> bool:
    found = _comparable(value, wanted)
    return found is not None and order(_key(found), _key(wanted))


def _within(value: Any, first: Any, last: Any) -> bool:
    low, high = _comparable(value, first), _comparable(value, last)
    return low is not None and high is not None and _key(low) >= _key(first) and _key(high) <= _key(last)


def _all_but(values: Iterable[Any], matches: Callable[[Any], bool]) -> bool:
    found = list(values)
    return bool(found) and not any(matches(value) for value in found)
