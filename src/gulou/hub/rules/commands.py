"""Sends the commands that need nobody's yes."""

from __future__ import annotations

import logging

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Subscription
from gulou.connectivity.commands import CommandRequest, ExpectedEffect
from gulou.hub.rules.events import Detection, ProposedCommand
from gulou.hub.rules.ports import CommandDesk, DetectionSource
from gulou.hub.rules.settings import RuleSettings
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import GulouError

_log = logging.getLogger(__name__)


def command_id(detection: Detection, number: int) -> str:
    """Name the command of a detection: the same detection always asks for the same command.

    Args:
        number: index in ``detection.commands``.
    """
    return f"rule-{detection.name(f'{detection.id}|{detection.state}|{detection.severity}|{number}')}"


def request_of(detection: Detection, number: int, requested_by: str) -> CommandRequest:
    """Turn a proposed command into a request to the command service."""
    command: ProposedCommand = detection.commands[number]
    effect = command.effect
    expected = None
    if effect is not None:
        tolerance = float(effect.get("tolerance", 0.0))
        expected = ExpectedEffect(effect["entity_id"], effect["property"], effect["value"], tolerance)
    return CommandRequest(
        device_id=command.device_id,
        name=command.name,
        parameters=dict(command.parameters),
        id=command_id(detection, number),
        effect=expected,
        cause=detection.id,
        requested_by=requested_by,
        effect_within_s=float(effect.get("within_s", 300.0)) if effect else 300.0,
    )


class CommandRequester:
    """Hears detections and issues their commands with ``approval: none``, once each, before it is told to anybody else.

    The cause is durable: it is in the log. A command whose cause is long past (Gulou was stopped meanwhile) is not sent
    any more, and counted.
    """

    def __init__(self, bus: Bus, desk: CommandDesk, clock: Clock, settings: RuleSettings | None = None) -> None:
        self._desk = desk
        self._clock = clock
        self._oldest_us = round((settings or RuleSettings()).command_age_seconds * SECOND_US)
        self._principal = Principal.system("rules")
        self.requested = 0
        self.stale = 0
        self.refused = 0
        self._subscription: Subscription = bus.subscribe(Detection, self.hear, name="rules.commands", direct=True)

    def hear(self, detection: Detection) -> None:
        """Issue what a detection asks for without a person's yes."""
        if not detection.commands:
            return
        wanted = [number for number, command in enumerate(detection.commands) if command.approval == "none"]
        if wanted and self._clock.now_us() - detection.at_us > self._oldest_us:
            self.stale += len(wanted)
            return
        requests = [request_of(detection, number, f"rule:{detection.rule_id}") for number in wanted]
        for outcome in self._desk.issue(requests, self._principal) if requests else ():
            if isinstance(outcome, GulouError):
                self.refused += 1
                _log.warning("command of %s refused: %s", detection.rule_id, outcome.code)
            else:
                self.requested += 1

    def catch_up(self, source: DetectionSource) -> None:
        """Request what a crash kept from being requested; the commands' own ids keep them from being sent twice."""
        for detection in source.detections_since(self._clock.now_us() - self._oldest_us):
            self.hear(detection)

    def close(self) -> None:
        """Stop hearing."""
        self._subscription.cancel()
