"""Rules: YAML in packs, judged on every reading; they say what they find on the bus."""

from gulou.hub.rules.commands import CommandRequester, command_id, request_of
from gulou.hub.rules.engine import RuleCounters
from gulou.hub.rules.events import Detection, ProposedCommand, RuleQuarantined, RuleReleased, RuleSetChanged
from gulou.hub.rules.format import RuleSet
from gulou.hub.rules.model import SEVERITIES, Rule, RuleKind
from gulou.hub.rules.ports import (
    CommandDesk,
    DetectionSource,
    DeviceFinder,
    EmptySurroundings,
    ReadingHistory,
    Surroundings,
    VocabularySource,
)
from gulou.hub.rules.service import RuleService
from gulou.hub.rules.settings import RuleSettings
from gulou.hub.rules.trial import Trial, run_trial
from gulou.hub.rules.views import RuleCost, RuleQuery, RuleState, RuleView, RuleViews, choose_rules, rule_state

__all__ = [
    "SEVERITIES",
    "CommandDesk",
    "CommandRequester",
    "Detection",
    "DetectionSource",
    "DeviceFinder",
    "EmptySurroundings",
    "ProposedCommand",
    "ReadingHistory",
    "Rule",
    "RuleCost",
    "RuleCounters",
    "RuleKind",
    "RuleQuarantined",
    "RuleQuery",
    "RuleReleased",
    "RuleService",
    "RuleSet",
    "RuleSetChanged",
    "RuleSettings",
    "RuleState",
    "RuleView",
    "RuleViews",
    "Surroundings",
    "Trial",
    "VocabularySource",
    "choose_rules",
    "command_id",
    "request_of",
    "rule_state",
    "run_trial",
]
