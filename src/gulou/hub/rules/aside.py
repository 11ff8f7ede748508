"""How people hear that a rule was put aside: as a detection about the rule itself, which becomes a warning."""

from __future__ import annotations

from gulou.hub.rules.engine import Finding
from gulou.hub.rules.events import Detection
from gulou.kernel.clock import to_rfc3339
from gulou.kernel.messages import LANGUAGES, render

ENTITY_TYPE = "Rule"
CATEGORY = "rules"
_SEVERITY = "yellow"


def put_aside(rule_id: str, version: str, reason: str, at_us: int) -> Finding:
    """Make the detection that a rule judges nothing from ``at_us`` on, until it is changed or released."""
    return _finding("raised", rule_id, version, reason, at_us, at_us)


def judges_again(rule_id: str, version: str, reason: str, since_us: int, now_us: int) -> Finding:
    """Make the detection that it was released, has changed, or is gone."""
    return _finding("cleared", rule_id, version, reason, since_us, max(since_us, now_us))


def _finding(state: str, rule_id: str, version: str, reason: str, since_us: int, at_us: int) -> Finding:
    params = {"rule": rule_id, "reason": reason}
    detection = Detection(
        at_us=at_us,
        id=f"{rule_id}/aside/{since_us}",
        state=state,
        rule_id=rule_id,
        rule_version=version,
        entity_id=f"urn:ngsi-ld:{ENTITY_TYPE}:{rule_id.replace('/', ':')}",
        entity_type=ENTITY_TYPE,
        severity=_SEVERITY,
        category=CATEGORY,
        headline={language: render("rules.aside_headline", params, language) for language in LANGUAGES},
        description={language: render("rules.aside_description", params, language) for language in LANGUAGES},
        raised_at_us=since_us,
        values={},
    )
    return Finding(detection, {"rule": rule_id, "change": state, "at": to_rfc3339(at_us), "reason": reason})
