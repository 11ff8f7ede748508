"""Warnings: from detection to cleared, once each."""

from __future__ import annotations

import re

import msgspec
import pytest

from gulou.connectivity.bus import InProcessBus
from gulou.connectivity.commands import CommandChanged
from gulou.hub.rules import command_id
from gulou.hub.rules.store_sql import Finding, Kept, Page, RuleStore
from gulou.kernel import Conflict, Denied, NotFound, Unavailable
from gulou.operations.incidents import FoundDetections, IncidentService, WarningFilter, WarningService

from .conftest import Centre


def test_a_warning_lives_through_its_four_states(centre):
    centre.detect("raised", "yellow")
    first = centre.all_warnings()[0]
    assert (first.state, first.acknowledged, first.severity) == ("active", False, "yellow")
    centre.warnings.acknowledge(first.id, centre.admin, "seen")
    centre.detect("changed", "red")
    centre.detect("changed", "orange")
    centre.detect("cleared", "orange")
    last = centre.warnings.get(first.id, centre.admin)
    assert (last.state, last.acknowledged, last.severity, last.peak) == ("cleared", True, "orange", "red")
    assert last.cleared_at_us == centre.clock.now_us()
    assert [one.change for one in centre.said] == ["raised", "acknowledged", "severity", "severity", "cleared"]


def test_the_same_message_again_changes_nothing(centre):
    messages = [centre.detect("raised"), centre.detect("changed", "red"), centre.detect("cleared", "red")]
    before, said = centre.all_warnings(), len(centre.said)
    for message in messages * 2:
        centre.bus.publish(message)
    assert centre.all_warnings() == before
    assert len(centre.said) == said


def test_changes_of_one_moment_are_all_taken(centre):
    """A batch of readings goes to red, back to blue and to red again: the warning ends at red."""
    at_us = centre.clock.now_us()
    for n, (state, severity) in enumerate([("raised", "blue"), ("changed", "red"), ("changed", "blue")]):
        centre.detect(state, severity, at_us=at_us, n=n)
    centre.detect("changed", "red", at_us=at_us, n=3)
    (warning,) = centre.all_warnings()
    assert (warning.severity, warning.peak) == ("red", "red")
    assert [one.change for one in centre.said] == ["raised", "severity", "severity", "severity"]


def test_a_new_occurrence_while_active_is_a_repeat_and_later_a_new_warning(centre):
    centre.detect(raised_s=1)
    centre.detect(raised_s=2, severity="red")
    assert [(one.repeats, one.severity) for one in centre.all_warnings()] == [(1, "red")]
    centre.detect("cleared", raised_s=1)  # of the occurrence before: no longer what it stands for
    assert centre.all_warnings()[0].state == "active"
    centre.detect("cleared", raised_s=2)
    centre.detect(raised_s=3)
    assert [one.state for one in centre.all_warnings()] == ["active", "cleared"]


def test_other_entities_and_rules_have_warnings_of_their_own(centre):
    centre.detect(entity="drain-1")
    centre.detect(entity="drain-2")
    centre.detect(rule="flood/rate")
    assert len(centre.all_warnings(state="active")) == 3


def test_a_person_clears_and_only_a_graver_finding_brings_it_back(centre):
    centre.detect("raised", "yellow")
    warning = centre.warnings.clear(centre.all_warnings()[0].id, centre.admin, "sensor being cleaned")
    assert (warning.state, warning.note) == ("cleared", "sensor being cleaned")
    centre.detect("changed", "blue")
    assert centre.all_warnings(state="active") == []
    centre.detect("changed", "orange")
    assert [one.severity for one in centre.all_warnings(state="active")] == ["orange"]
    with pytest.raises(Conflict) as caught:
        centre.warnings.clear(warning.id, centre.admin)
    assert caught.value.code == "warning.cleared"


def test_message_ids_have_the_national_form_and_differ(centre):
    for number in range(25):
        centre.clock.set_us(centre.clock.now_us())
        centre.detect(entity=f"drain-{number}")
    ids = [one.message_id for one in centre.all_warnings()]
    assert len(set(ids)) == 25
    assert all(re.fullmatch(r"\w{14}_\d{14}_\d", one) and len(one) == 31 for one in ids)


def test_more_than_ten_messages_in_one_second_borrow_from_the_next(centre):
    from gulou.operations.incidents.message_id import MessageIds

    taken: set[str] = set()
    ids = MessageIds("0" * 14)
    for _ in range(23):
        taken.add(ids.take(0, lambda sender: max(taken, default=None)))
    restarted = MessageIds("0" * 14)
    taken.add(restarted.take(0, lambda sender: max(taken)))
    assert len(taken) == 24
    assert min(taken) == "00000000000000_19700101080000_0"
    assert max(taken) == "00000000000000_19700101080002_3"


def test_a_start_after_very_many_goes_on_with_the_next_id_at_once(centre):
    from gulou.operations.incidents.message_id import MessageIds

    asked = []
    ids = MessageIds("0" * 14)
    first = ids.take(0, lambda sender: asked.append(sender) or "00000000000000_19700109080000_9")
    assert (first, asked) == ("00000000000000_19700109080001_0", ["0" * 14])
    assert ids.take(0, asked.append) == "00000000000000_19700109080001_1"
    assert ids.take(10**12, asked.append) == "00000000000000_19700112214640_0"


# ---- many at once


SCENES = {
    "lives": [("a", "raised", "yellow", 1), ("a", "changed", "red", 1), ("a", "cleared", "red", 1)],
    "repeats": [("a", "raised", "yellow", 1), ("a", "raised", "red", 2), ("a", "cleared", "red", 1)],
    "again": [("a", "raised", "yellow", 1), ("a", "cleared", "red", 1), ("a", "changed", "blue", 1),
              ("a", "changed", "red", 1), ("a", "raised", "blue", 3)],
    "twice": [("a", "raised", "yellow", 1), ("a", "raised", "yellow", 1), ("b", "raised", "red", 1)],
    "many": [(str(n), "raised", "yellow", n) for n in range(40)] + [(str(n), "cleared", "red", n) for n in range(9)],
}  # fmt: skip


@pytest.mark.parametrize("opens_incident", [False, True])
@pytest.mark.parametrize("scene", SCENES)
def test_a_list_does_what_its_messages_do_one_by_one(tmp_path, scene, opens_incident):
    results = []
    for cut in (1, 3, 1000):
        folder = tmp_path / str(cut)
        folder.mkdir()
        centre = Centre(folder)
        made = scenes_of(centre, SCENES[scene], opens_incident)
        for start in range(0, len(made), cut):
            centre.warnings.hear_all(made[start : start + cut])
        centre.warnings.hear_all(made)
        results.append(
            (
                sorted(stripped(one) for one in centre.all_warnings(q="drain")),
                [(one.severity, len(one.warning_ids), len(centre.lines(one.id))) for one in centre.all_incidents()],
                [(type(one).__name__, getattr(one, "change", "")) for one in centre.said],
            )
        )
        centre.database.close()
    assert len(results[0][0]) == len({one[:1] + one[3:] for one in SCENES[scene] if one[1] == "raised"}) - (
        scene == "repeats"
    )
    assert results[1] == results[0]
    assert results[2] == results[0]


def scenes_of(centre, steps, opens_incident):
    """Make detections that nobody hears yet."""
    centre.warnings.close()
    commands = (centre.pump("none"),)
    return [
        centre.detect(state, severity, entity=f"drain-{entity}", raised_s=raised_s, commands=commands,
                      opens_incident=opens_incident)
        for entity, state, severity, raised_s in steps
    ]  # fmt: skip


def stripped(warning):
    """Leave out what is made by chance or by the hour."""
    same = msgspec.structs.replace(
        warning, id="", message_id="", raised_at_us=0, changed_at_us=0, cleared_at_us=0, incident_id=None
    )
    return msgspec.json.encode(same).decode(), warning.incident_id is None


def test_news_of_commands_come_in_lists_before_and_after_their_warnings(centre):
    detections = scenes_of(centre, [(str(n), "raised", "red", n) for n in range(30)], opens_incident=False)
    ids = [command_id(one, 0) for one in detections]

    def news(state, some):
        return [CommandChanged(at_us=1, command=centre.desk.command(one, state, "cause")) for one in some]

    centre.warnings._news.hear_all(news("requested", ids) + news("sent", ids[:20]))
    centre.warnings.hear_all(detections)
    centre.warnings._news.hear_all(news("acknowledged", ids[:10]))
    states = {one.actions[0].command_id: one.actions[0].command_state for one in centre.all_warnings(q="drain")}
    assert [states[one] for one in ids] == ["acknowledged"] * 10 + ["sent"] * 10 + ["requested"] * 10


def test_one_that_cannot_be_taken_is_left_out_and_the_others_are_not(centre, monkeypatch):
    centre.warnings.close()
    detections = [centre.detect(entity=f"drain-{n}", opens_incident=n == 1) for n in range(3)]

    def refuse(*arguments):
        raise Conflict("incident.closed", incident_id="x")

    monkeypatch.setattr(centre.incidents, "take_warning", refuse)
    centre.warnings.hear_all(detections)
    assert {one.entity_id.rpartition(":")[2] for one in centre.all_warnings()} == {"drain-0", "drain-2"}


class Subscription:
    dropped = 0

    def status(self):
        return self


def found(centre, *detections):
    """Find what nobody hears."""
    centre.record.unkept += detections
    return detections


@pytest.fixture
def deaf(centre):
    """A centre that hears only what a test gives it."""
    centre.warnings.close()
    centre.warnings._detections = Subscription()
    return centre


def states(centre):
    return {one.entity_id[-1]: (one.state, one.repeats) for one in centre.all_warnings()}


def test_what_was_dropped_is_read_before_what_comes(deaf):
    first, lost, cleared = deaf.detect(entity="a"), deaf.detect(entity="b"), deaf.detect("cleared", entity="b")
    found(deaf, first, lost, cleared)
    deaf.warnings.hear_all([first])
    deaf.warnings._detections.dropped = 1
    deaf.warnings.hear_all([cleared])  # it would mean nothing before its occurrence
    deaf.warnings.tick(deaf.clock.now_us())
    assert (states(deaf), deaf.record.asked) == ({"a": ("active", 0)}, 1)
    deaf.record.checkpoint()
    deaf.warnings.tick(deaf.clock.now_us())
    assert states(deaf) == {"a": ("active", 0), "b": ("cleared", 0)}
    deaf.warnings.hear_all([deaf.detect(entity="c")])  # nothing is held back any more
    assert len(states(deaf)) == 3


def test_however_many_were_missed_each_is_taken_once_and_in_order(deaf):
    missed = [
        deaf.detect(state, raised_s=n, entity=f"e{n % 7}") for n in range(1_300) for state in ("raised", "cleared")
    ]
    found(deaf, *missed)
    deaf.record.checkpoint()
    assert deaf.warnings.catch_up(missing=True) == 2_600
    assert deaf.warnings.catch_up(missing=True) == 0
    deaf.warnings.hear_all(missed[-20:])
    deaf.warnings.tick(deaf.clock.now_us())
    page = deaf.warnings.list(WarningFilter(state="cleared"), deaf.admin, limit=1)
    assert (page.total, len(deaf.all_warnings(state="active"))) == (1_300, 0)


def test_a_gap_that_the_record_does_not_close_ends_after_a_while(deaf):
    deaf.warnings.catch_up(missing=True)
    deaf.warnings.hear_all([deaf.detect(entity="a")])
    deaf.warnings.tick(deaf.clock.now_us())
    assert states(deaf) == {}
    deaf.clock.advance(61)
    deaf.warnings.tick(deaf.clock.now_us())
    assert states(deaf) == {"a": ("active", 0)}


def test_the_record_is_read_on_even_where_nothing_seems_to_be_missing(deaf):
    deaf.warnings.tick(deaf.clock.now_us())
    found(deaf, deaf.detect(entity="a"))
    deaf.record.checkpoint()
    deaf.clock.advance(11)
    deaf.warnings.tick(deaf.clock.now_us())
    assert states(deaf) == {"a": ("active", 0)}


def test_a_record_that_begins_anew_is_read_from_its_beginning(deaf):
    found(deaf, *(deaf.detect(entity=one) for one in "abc"))
    deaf.record.checkpoint()
    deaf.warnings.catch_up()
    deaf.record.found = [deaf.detect(entity="d")]
    deaf.warnings.catch_up()
    assert len(states(deaf)) == 4


def test_what_cannot_be_written_is_read_again(deaf, monkeypatch):
    found(deaf, deaf.detect(entity="a"))
    deaf.record.checkpoint()
    monkeypatch.setattr(deaf.database, "transaction", refused)
    assert deaf.warnings.catch_up() == 0
    monkeypatch.undo()
    assert deaf.warnings.catch_up() == 1
    assert states(deaf) == {"a": ("active", 0)}


def refused(**_named):
    raise Unavailable("records.unavailable", detail="full")


# ---- commands that wait for a yes


def test_a_person_approves_and_the_command_is_followed(centre):
    centre.detect(commands=(centre.pump(),), opens_incident=True)
    warning = centre.all_warnings()[0]
    assert warning.actions[0].state == "proposed"
    assert centre.desk.requests == {}
    officer = centre.person("warning.read", "device.command", name="wang")
    warning = centre.warnings.approve(warning.id, 0, officer, "go")
    assert (warning.actions[0].state, warning.actions[0].decided_by) == ("approved", "wang")
    (request,) = centre.desk.requests.values()
    assert (request.device_id, request.requested_by, request.cause) == ("dev-1", "wang", warning.detection_id)
    assert (request.effect.property, request.effect.value, request.effect_within_s) == ("powerState", "on", 60.0)
    for state in ("requested", "sent", "acknowledged", "acknowledged", "effect_seen"):
        centre.tell(request.id, state)
    assert centre.warnings.get(warning.id, centre.admin).actions[0].command_state == "effect_seen"
    timeline = centre.incidents.timeline(warning.incident_id, centre.admin)
    assert [one.details["state"] for one in timeline if one.kind == "command"] == [
        "requested", "sent", "acknowledged", "effect_seen",
    ]  # fmt: skip
    assert [one.actor_name for one in timeline if one.kind == "action"] == ["wang"]


def test_a_decision_is_made_once(centre):
    centre.detect(commands=(centre.pump(), centre.pump("none")))
    warning = centre.all_warnings()[0]
    centre.warnings.decline(warning.id, 0, centre.admin)
    for decide in (centre.warnings.approve, centre.warnings.decline):
        for n in (0, 1):
            with pytest.raises(Conflict) as caught:
                decide(warning.id, n, centre.admin)
            assert caught.value.code == "warning.action_decided"
    with pytest.raises(NotFound):
        centre.warnings.approve(warning.id, 7, centre.admin)
    assert centre.desk.requests == {}


def test_clearing_withdraws_what_nobody_decided(centre):
    centre.detect(commands=(centre.pump(),))
    centre.detect("cleared")
    warning = centre.all_warnings()[0]
    assert warning.actions[0].state == "withdrawn"
    with pytest.raises(Conflict):
        centre.warnings.approve(warning.id, 0, centre.admin)


def test_a_refused_command_is_proposed_again(centre):
    centre.detect(commands=(centre.pump(),))
    warning = centre.all_warnings()[0]
    centre.desk.refusal = Unavailable("command.full")
    with pytest.raises(Unavailable):
        centre.warnings.approve(warning.id, 0, centre.admin)
    assert centre.warnings.get(warning.id, centre.admin).actions[0].state == "proposed"
    centre.desk.refusal = None
    centre.warnings.approve(warning.id, 0, centre.admin)
    assert len(centre.desk.requests) == 1


def test_a_repeat_does_not_propose_the_same_twice(centre):
    centre.detect(raised_s=1, commands=(centre.pump(),))
    centre.detect(raised_s=2, commands=(centre.pump(),))
    assert len(centre.all_warnings()[0].actions) == 1


def test_news_of_a_command_may_come_before_its_detection(centre):
    detection = centre.detect(commands=(centre.pump("none"),))
    centre.tell(command_id(detection, 0), "sent", cause=detection.id)
    assert centre.all_warnings()[0].actions[0].command_state == "sent"
    early = msgspec.structs.replace(detection, id="flood/level/x/2", entity_id="urn:ngsi-ld:WaterLevelObserved:drain-9")
    centre.tell(command_id(early, 0), "acknowledged", cause=early.id)
    centre.bus.publish(early)
    assert centre.all_warnings(entity_id=early.entity_id)[0].actions[0].command_state == "acknowledged"


def test_an_approval_that_a_crash_cut_short_is_finished(centre):
    centre.detect(commands=(centre.pump(),))
    warning = centre.all_warnings()[0]
    centre.warnings._decide(warning.id, 0, centre.admin, "approved", None)  # and then the process is gone
    centre.begin()

    centre.warnings.catch_up()
    centre.warnings.catch_up()
    assert len(centre.desk.requests) == 1


def test_what_was_found_while_away_is_caught_up_once(centre):
    kept = [centre.detect(raised_s=1, entity="a")]
    centre.warnings.close()
    kept += [centre.detect(raised_s=2, entity="b"), centre.detect("cleared", raised_s=1, entity="a")]
    centre.record.found = kept
    centre.begin()
    assert centre.warnings.catch_up() == 3
    centre.warnings.close()
    centre.begin()
    assert centre.warnings.catch_up() == 0
    assert {one.entity_id[-1]: one.state for one in centre.all_warnings()} == {"a": "cleared", "b": "active"}


def test_what_is_found_at_start_does_not_hide_what_was_missed(centre):
    centre.detect(raised_s=1, entity="a")
    centre.warnings.close()
    centre.record.found = [centre.detect(raised_s=2, entity="b")]
    centre.begin()
    centre.detect(raised_s=3, entity="c")  # heard before catching up
    centre.warnings.catch_up()
    assert len(centre.all_warnings()) == 3


def test_what_rules_really_write_is_read_in_order(centre):
    centre.warnings.close()
    rules = RuleStore(centre.database)
    heard = [centre.detect(entity=one) for one in "zay"]
    rules.checkpoint(Page(Kept(), [], [], [], [Finding(one, {}) for one in heard], {}, 0, 0))
    record = FoundDetections(centre.database)
    assert [one for _, one in record.after(0, 10)] == heard
    assert [number for number, _ in record.after(1, 1)] == [2]
    assert (record.newest(), record.number_of(heard[2]), record.number_of(centre.detect())) == (3, 3, None)


def test_what_cannot_come_again_is_forgotten(centre):
    first = centre.detect("raised", raised_s=1)
    centre.detect("cleared", raised_s=1)
    centre.clock.advance(91 * 86_400)
    centre.detect("raised", raised_s=2)
    centre.incidents.tick(centre.clock.now_us())
    centre.bus.publish(first)  # nobody sends it again after so long; that it counts shows that it was forgotten
    assert centre.all_warnings(state="active")[0].repeats == 1


def test_detections_and_commands_on_threads_of_their_own(centre):
    bus = InProcessBus()
    centre.warnings.close()
    incidents = IncidentService(centre.database, centre.clock, bus, centre.audit)
    warnings = WarningService(centre.database, centre.clock, bus, centre.audit, centre.desk, incidents)
    template = centre.detect(commands=(centre.pump("none"),), opens_incident=True, location=None)
    for number in range(40):
        entity = f"urn:ngsi-ld:WaterLevelObserved:drain-{number}"
        found = msgspec.structs.replace(template, id=f"r/{entity}/1", entity_id=entity)
        command = centre.desk.command(command_id(found, 0), "acknowledged", found.id)
        bus.publish(CommandChanged(at_us=found.at_us, command=command))
        bus.publish(found)
    bus.drain()
    bus.close()
    assert [one.actions[0].command_state for one in warnings.list(WarningFilter(), centre.admin).items] == [
        "acknowledged"
    ] * 40
    assert len(centre.all_incidents()) == 40


def test_detections_wait_while_nothing_can_be_written_and_keep_their_order(centre):
    from gulou.operations.incidents.tables import warning_detections

    warning_detections.drop(centre.database.engine)
    centre.detect("raised")
    centre.detect("changed", "red")
    warning_detections.create(centre.database.engine)
    assert centre.all_warnings() == []
    centre.warnings.tick(centre.clock.now_us())
    assert [one.severity for one in centre.all_warnings()] == ["red"]


# ---- who may


def test_permissions_hold_by_department(centre):
    centre.detect(entity="a", department="water", commands=(centre.pump(),))
    centre.detect(entity="b", department="roads")
    centre.detect(entity="c")
    reader = centre.person("warning.read", department="water")
    seen = centre.warnings.list(WarningFilter(), reader)
    assert sorted(one.entity_id[-1] for one in seen.items) == ["a", "c"]
    assert seen.total == 2
    water, roads = (next(one for one in centre.all_warnings() if one.department == name) for name in ("water", "roads"))
    with pytest.raises(NotFound):
        centre.warnings.get(roads.id, reader)
    for attempt in (
        lambda: centre.warnings.acknowledge(water.id, reader),
        lambda: centre.warnings.clear(water.id, reader),
        lambda: centre.warnings.approve(water.id, 0, reader),
        lambda: centre.warnings.open_incident(water.id, reader),
        lambda: centre.warnings.list(WarningFilter(), centre.person("entity.read")),
    ):
        with pytest.raises(Denied):
            attempt()
    assert centre.desk.requests == {}


def test_lists_page_filter_and_search(centre):
    for number in range(7):
        centre.detect(entity=f"drain-{number}", severity=["blue", "red"][number % 2], raised_s=number)
    found, cursor = [], None
    for _ in range(4):
        page = centre.warnings.list(WarningFilter(), centre.admin, limit=2, cursor=cursor)
        found += [one.entity_id[-1] for one in page.items]
        cursor = page.next
    assert (found, cursor, page.total) == (list("6543210"), None, 7)
    assert len(centre.all_warnings(severities=("red",))) == 3
    assert [one.entity_id[-1] for one in centre.all_warnings(q="WATER drain-3")] == ["3"]
    assert len(centre.all_warnings(q="100%")) == 0
    assert len(centre.all_warnings(from_us=centre.all_warnings()[1].raised_at_us)) == 2
