"""From a pack's YAML to compiled rules; a broken pack is refused whole, with every problem's place and mend."""

from gulou.hub.rules.format.rule_set import RuleSet

__all__ = ["RuleSet"]
