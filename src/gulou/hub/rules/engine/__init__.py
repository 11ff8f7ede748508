"""Judging: states per rule and entity, timers on a clock that only the log and the ticks move. No I/O, no threads."""

from gulou.hub.rules.engine.engine import Change, Engine, Finding, Snapshot
from gulou.hub.rules.engine.state import RuleCounters, State

__all__ = ["Change", "Engine", "Finding", "RuleCounters", "Snapshot", "State"]
