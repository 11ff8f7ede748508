"""Rules: what runs, and what a rule would have found."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from fastapi import APIRouter, Query

from gulou.access import Principal
from gulou.api.asking import At, needs
from gulou.api.paging import Spans
from gulou.api.schemas.hub import RuleExplanation, RuleFiring, RuleFirings, RulePage, RuleTry, RuleView
from gulou.api.shaping import to_view
from gulou.hub.rules import Detection, Rule, RuleKind, RuleQuery, RuleSet, RuleState, rule_state
from gulou.kernel import Invalid, to_us

if TYPE_CHECKING:
    from gulou.hub.rules import RuleView as RunningRule

router = APIRouter(tags=["rules"])

Reader = Annotated[Principal, needs("rule.read")]
Writer = Annotated[Principal, needs("rule.write")]
_TRIAL_S = 30.0


@router.get("/rules")
def list_rules(
    at: At,
    asker: Reader,
    spans: Spans,
    pack: Annotated[str | None, Query(max_length=128)] = None,
    q: Annotated[str | None, Query(max_length=200, description="words of its id, label or entity type")] = None,
    kind: Annotated[RuleKind | None, Query()] = None,
    state: Annotated[RuleState | None, Query(description="quarantined: it was put aside")] = None,
) -> RulePage:
    """List the rules that are loaded, by id."""
    query = RuleQuery(pack=pack, text=q, kind=kind, state=state, after=spans.cursor, limit=spans.limit)
    found = at.rules.rules(query, asker)
    return RulePage(items=[_rule_view(one) for one in found.views], total=found.total, next=found.following)


@router.post("/rules/try")
def try_rule(at: At, asker: Reader, entry: RuleTry) -> RuleFirings:
    """Run a rule over history and say what it would have found; nothing is raised in earnest."""
    if (entry.yaml is None) == (entry.id is None):
        raise Invalid("request.one_of", names="yaml, id")
    rule = entry.id if entry.id is not None else _only_rule(entry.yaml or "", at.vocabulary)
    deadline = time.monotonic() + _TRIAL_S
    trial = at.rules.try_rule(
        rule, at.history, to_us(entry.from_), to_us(entry.to), asker, lambda: time.monotonic() > deadline
    )
    firings = [_firing(detection) for detection in trial.firings]
    return RuleFirings(firings=firings, readings=trial.readings, truncated=trial.truncated)


@router.get("/rules/detections/{detection_id:path}")
def explain_detection(at: At, asker: Reader, detection_id: str) -> RuleExplanation:
    """Say what a detection rests on: inputs with their times, conditions, levels."""
    return RuleExplanation(id=detection_id, states=at.rules.explain(detection_id, asker))


@router.post("/rules/{pack}/{rule}/release")
def release_rule(at: At, asker: Writer, pack: str, rule: str) -> RuleView:
    """Let a rule that was put aside judge again; it begins anew, and what it had raised is cleared."""
    reason = at.rules.get_rule(pack, rule, asker).quarantined
    at.rules.release(pack, rule, asker)
    at.access.audit.record(asker, "rule.released", "rule", f"{pack}/{rule}", {"reason": reason})
    return _rule_view(at.rules.get_rule(pack, rule, asker))


@router.get("/rules/{pack}/{rule}")
def get_rule(at: At, asker: Reader, pack: str, rule: str) -> RuleView:
    """Get one rule with its source."""
    found = at.rules.get_rule(pack, rule, asker)
    source = yaml.safe_dump(_plain(found.rule.definition), allow_unicode=True, sort_keys=False)
    return _rule_view(found, source)


def _rule_view(running: RunningRule, source: str | None = None) -> RuleView:
    rule, counters = running.rule, running.counters
    return to_view(
        RuleView,
        rule,
        label=dict(rule.label),
        description={language: template.text for language, template in rule.description.items()},
        entity_type=rule.select.entity_type,
        state=rule_state(rule, is_aside=running.quarantined is not None),
        reason=running.quarantined,
        file=f"{rule.file}:{rule.line}" if rule.file else None,
        source=source,
        active=running.active,
        watched=running.watched,
        counters={name: float(getattr(counters, name)) for name in counters.__struct_fields__},
    )


def _only_rule(text: str, vocabulary: Any) -> Rule:
    """Read the one rule of a text.

    Raises:
        Invalid: ``document.broken`` with every mistake; ``request.one_of`` for none or several.
    """
    rules = RuleSet.parse({"rules/trial.yaml": text}, vocabulary, pack="trial").rules
    if len(rules) != 1:
        raise Invalid("request.one_of", names=", ".join(rule.name for rule in rules) or "rules")
    return rules[0]


def _firing(detection: Detection) -> RuleFiring:
    return to_view(RuleFiring, detection)


def _plain(value: Any) -> Any:
    """Turn mappings and tuples into what YAML writes plainly."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return value
