"""The rules as who lists them sees them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from gulou.hub.rules.engine import RuleCounters
from gulou.hub.rules.format import RuleSet
from gulou.hub.rules.model import Rule


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
    """Which rules to list, by id: of one pack or of all, at most ``limit`` after the id ``after``."""

    pack: str | None = None
    after: str | None = None
    limit: int | None = None


ALL_RULES = RuleQuery()


class RuleViews(msgspec.Struct, frozen=True):
    """Some of the rules that are loaded, by id.

    Args:
        total: how many there are.
        following: the last id of these, where others follow.
    """

    views: list[RuleView]
    total: int
    following: str | None


def choose_rules(sets: Iterable[RuleSet], query: RuleQuery) -> tuple[list[Rule], int, str | None]:
    """Return the rules of a page, how many there are, and the last id where others follow; see ``RuleViews``."""
    loaded = [rule for one in sets for rule in one.rules if query.pack in (None, rule.pack)]
    rest = [rule for rule in loaded if query.after is None or rule.id > query.after]
    page = heapq.nsmallest(len(rest) if query.limit is None else query.limit, rest, key=lambda rule: rule.id)
    return page, len(loaded), page[-1].id if page and len(page) < len(rest) else None
