"""The rules as who lists them sees them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from gulou.hub.rules.engine import RuleCounters
from gulou.hub.rules.format import RuleSet
from gulou.hub.rules.model import Rule, RuleKind

RuleState = Literal["active", "disabled", "quarantined"]


class RuleView(msgspec.Struct, frozen=True):
    """A rule as it runs.

    Args:
        active: how many detections are raised now.
        watched: how many entities (of a pattern: groups) it hears.
        quarantined: why it was put aside, None while it runs.
    """

    rule: Rule
    counters: RuleCounters
    active: int
    watched: int
    quarantined: str | None


class RuleCost(msgspec.Struct, frozen=True):
    """What a rule cost since it was loaded; ``busy_ns`` is time spent judging."""

    rule_id: str
    evaluations: int
    busy_ns: int
    quarantined: bool


class RuleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which rules to list, by id: at most ``limit`` after the id ``after``.

    Args:
        pack: of this one alone.
        text: words that its id, a label or its entity type have in them, whatever the case; all of them.
        kind: one of ``KINDS``.
        state: ``active``, ``disabled`` or ``quarantined``.
    """

    pack: str | None = None
    text: str | None = None
    kind: RuleKind | None = None
    state: RuleState | None = None
    after: str | None = None
    limit: int | None = None


ALL_RULES = RuleQuery()


class RuleViews(msgspec.Struct, frozen=True):
    """Some of the rules that are loaded, by id.

    Args:
        total: how many there are of those asked for.
        following: the last id of these, where others follow.
    """

    views: list[RuleView]
    total: int
    following: str | None


def choose_rules(
    sets: Iterable[RuleSet], query: RuleQuery, put_aside: Callable[[], Iterable[str]]
) -> tuple[list[Rule], int, str | None]:
    """Return the rules of a page, how many there are, and the last id where others follow; see ``RuleViews``.

    Args:
        put_aside: gives the ids of the rules that are quarantined; called where the state matters.
    """
    found = [rule for one in sets if query.pack in (None, one.pack) for rule in one.rules]
    if query.kind is not None:
        found = [rule for rule in found if rule.kind == query.kind]
    if query.state is not None:
        aside = frozenset(put_aside())
        found = [rule for rule in found if rule_state(rule, is_aside=rule.id in aside) == query.state]
    words = (query.text or "").casefold().split()
    if words:
        found = [rule for rule in found if _says(rule, words)]
    rest = [rule for rule in found if query.after is None or rule.id > query.after]
    page = heapq.nsmallest(len(rest) if query.limit is None else query.limit, rest, key=lambda rule: rule.id)
    return page, len(found), page[-1].id if page and len(page) < len(rest) else None


def rule_state(rule: Rule, *, is_aside: bool) -> RuleState:
    """Say in one word how a rule fares."""
    return "quarantined" if is_aside else "active" if rule.enabled else "disabled"


def _says(rule: Rule, words: list[str]) -> bool:
    text = "\n".join((rule.id, rule.select.entity_type, *rule.label.values())).casefold()
    return all(word in text for word in words)
