"""Trying a rule on history, and commands that need nobody's yes."""

from __future__ import annotations

import pytest

from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import Reading
from gulou.hub.rules import CommandRequester, Detection, ProposedCommand, RuleService, command_id
from gulou.kernel import Invalid, Unavailable, VirtualClock
from gulou.records import Database

S = 1_000_000
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"


class History:
    """Readings of two series, in the order of their times."""

    def __init__(self):
        self.rows = [
            Reading(DRAIN, "WaterLevelObserved", "waterLevel", float(level), at * S)
            for at, level in enumerate([0, 2, 2, 2, 0, 0, 3, 3, 3])
        ]

    def readings(self, entity_type, properties, from_us, to_us, entity_id=None):
        self.asked = entity_id
        return iter([one for one in self.rows if from_us <= one.observed_at_us < to_us and one.property in properties])


@pytest.fixture
def service(kit, tmp_path):
    database = Database.at(tmp_path / "r.db")
    database.create_tables()
    made = RuleService(database, VirtualClock(10**15), MemoryBus(), kit.City())
    yield made
    database.close()


def rule(kit):
    text = "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {blue: 2, red: 3}\nhold: 2s"
    return kit.parse(kit.rule(text)).rules[0]


def test_a_rule_is_tried_on_history(kit, service):
    heard = []
    service._bus.subscribe(Detection, heard.append, name="t")
    trial = service.try_rule(rule(kit), History(), 0, 100 * S)
    assert [(one.state, one.severity, one.raised_at_us / S, one.at_us / S) for one in trial.firings] == [
        ("raised", "blue", 3.0, 3.0),
        ("cleared", "blue", 3.0, 4.0),
        ("raised", "red", 8.0, 8.0),
    ]
    assert (trial.readings, trial.truncated) == (9, False)
    assert heard == []
    assert service.status()["states"] == 0


def test_a_rule_on_one_entity_reads_that_alone(kit, service):
    text = (
        f"kind: threshold\nselect: {{type: WaterLevelObserved, id: '{DRAIN}'}}\nvalue: waterLevel\nlevels: {{red: 3}}"
    )
    history = History()
    service.try_rule(kit.parse(kit.rule(text)).rules[0], history, 0, 100 * S)
    assert history.asked == DRAIN


def test_a_trial_has_its_bounds(kit, service):
    with pytest.raises(Invalid) as caught:
        service.try_rule(rule(kit), History(), 5, 5)
    assert caught.value.code == "rules.trial_range"
    assert service.try_rule(rule(kit), History(), 0, 100 * S, stop=lambda: True).truncated
    assert [one.severity for one in service.try_rule(rule(kit), History(), 0, 5 * S).firings] == ["blue", "blue"]


class Desk:
    def __init__(self):
        self.requests = {}
        self.refusal = None

    def issue(self, requests, principal):
        if self.refusal is not None:
            return [self.refusal for _ in requests]
        self.requests |= {request.id: request for request in requests}
        return requests


def detection(at_us, **given):
    effect = {"entity_id": "urn:ngsi-ld:Pump:p", "property": "powerState", "value": "on", "within_s": 9.0}
    commands = (
        ProposedCommand("d1", "switch", {"power": "on"}, "none", effect),
        ProposedCommand("d2", "switch", {"power": "on"}, "person"),
    )
    fields = {
        "at_us": at_us, "id": "p/r/e/1", "state": "raised", "rule_id": "p/r", "rule_version": "1", "entity_id": "e",
        "entity_type": "T", "severity": "red", "category": "flood", "headline": {}, "description": {},
        "raised_at_us": at_us, "values": {}, "commands": commands,
    }  # fmt: skip
    return Detection(**{**fields, **given})


def test_commands_without_approval_are_requested_once(kit):
    bus, desk, clock = MemoryBus(), Desk(), VirtualClock(1000 * S)
    requester = CommandRequester(bus, desk, clock)
    found = detection(clock.now_us())
    bus.publish(found)
    bus.publish(found)
    (request,) = desk.requests.values()
    assert (request.device_id, request.id, request.cause) == ("d1", command_id(found, 0), "p/r/e/1")
    assert (request.requested_by, request.effect.value, request.effect_within_s) == ("rule:p/r", "on", 9.0)
    requester.close()
    bus.publish(detection(clock.now_us(), state="cleared"))
    assert len(desk.requests) == 1


def test_names_that_follow_from_a_detection_sort_by_its_time(kit):
    found = [detection(at_us * S, id=f"p/r/e/{7 - at_us}") for at_us in range(1, 6)]
    assert [one.key() for one in found] == sorted({one.key() for one in found})
    assert [command_id(one, 0) for one in found] == sorted({command_id(one, 0) for one in found})
    assert {len(one.key()) for one in found} == {32}
    assert command_id(found[0], 0) != command_id(found[0], 1)


def test_a_command_whose_cause_is_long_past_is_not_sent(kit):
    bus, desk, clock = MemoryBus(), Desk(), VirtualClock(10_000 * S)
    requester = CommandRequester(bus, desk, clock)
    bus.publish(detection(clock.now_us() - 601 * S))
    assert (desk.requests, requester.stale) == ({}, 1)


def test_a_command_that_a_crash_swallowed_is_requested_after_the_start(kit):
    bus, desk, clock = MemoryBus(), Desk(), VirtualClock(10_000 * S)
    kept = [detection(clock.now_us() - 700 * S, id="old"), detection(clock.now_us() - 5 * S, id="new")]

    class Rules:
        def detections_since(self, at_us, limit=0):
            return [one for one in kept if one.at_us >= at_us]

    requester = CommandRequester(bus, desk, clock)
    requester.catch_up(Rules())
    requester.catch_up(Rules())
    assert [one.cause for one in desk.requests.values()] == ["new"]


def test_a_refused_command_hurts_nobody_else(kit):
    bus, desk, clock = MemoryBus(), Desk(), VirtualClock(1000 * S)
    requester = CommandRequester(bus, desk, clock)
    desk.refusal = Unavailable("command.full")
    bus.publish(detection(clock.now_us()))
    desk.refusal = None
    bus.publish(detection(clock.now_us(), id="p/r/e/2"))
    assert (len(desk.requests), requester.refused, requester.requested) == (1, 1, 1)
