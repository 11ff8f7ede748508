"""Incidents: from opening to result, who may, and deadlines."""

from __future__ import annotations

import pytest

from gulou.access import Audit
from gulou.kernel import Conflict, Denied, Invalid, NotFound
from gulou.operations.incidents import IncidentFilter

FAR = {"type": "Point", "coordinates": [116.5, 39.9]}
NEAR = {"type": "Point", "coordinates": [116.4005, 39.9]}


def test_a_rule_opens_an_incident_and_people_close_it(centre):
    centre.detect("raised", "yellow")
    assert centre.all_incidents() == []
    centre.detect("changed", "orange", opens_incident=True, department="water", deadline_s=3600.0)
    (incident,) = centre.all_incidents()
    assert (incident.kind, incident.severity, incident.state) == ("flood", "orange", "open")
    assert incident.deadline_us is None
    officer = centre.person("incident.read", "incident.write")
    deadline = centre.clock.now_us() + 3600 * centre.S
    centre.incidents.dispatch(incident.id, "water", officer, deadline_us=deadline, note="go")
    incident = centre.incidents.add_task(incident.id, "Close the underpass", officer, assignee="zhao")
    incident = centre.incidents.add_note(incident.id, "On our way", officer)
    with pytest.raises(Conflict) as caught:
        centre.incidents.close(incident.id, "dry", officer)
    assert (caught.value.code, caught.value.params["tasks"]) == ("incident.tasks_open", "t1")
    centre.clock.advance(600)
    incident = centre.incidents.update_task(incident.id, "t1", officer, state="done", result="closed at 10:00")
    assert (incident.tasks[0].done_at_us, incident.tasks[0].result) == (centre.clock.now_us(), "closed at 10:00")
    centre.detect("cleared", "orange")
    incident = centre.incidents.close(incident.id, "Pumped dry", officer)
    assert (incident.state, incident.result, incident.closed_by) == ("closed", "Pumped dry", "li")
    assert incident.time_to_close_s == 601.0
    assert centre.lines(incident.id) == ["opened", "dispatched", "task", "note", "task", "warning", "closed"]
    for attempt in (
        lambda: centre.incidents.dispatch(incident.id, "roads", officer),
        lambda: centre.incidents.close(incident.id, "again", officer),
    ):
        with pytest.raises(Conflict):
            attempt()
    incident = centre.incidents.reopen(incident.id, "Water again", officer)
    assert (incident.state, incident.result, incident.deadline_us) == ("dispatched", None, None)
    with pytest.raises(Conflict):
        centre.incidents.reopen(incident.id, "twice", officer)


def test_a_pack_that_names_a_department_and_a_deadline_dispatches(centre):
    centre.detect(opens_incident=True, department="water", deadline_s=3600.0)
    (incident,) = centre.all_incidents()
    assert (incident.state, incident.department) == ("dispatched", "water")
    assert incident.deadline_us == incident.opened_at_us + 3600 * centre.S
    assert centre.all_warnings()[0].incident_id == incident.id


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ({"entity": "drain-1", "rule": "flood/rate", "location": None}, 1),
        ({"entity": "drain-2", "location": NEAR}, 1),
        ({"entity": "drain-2", "location": FAR}, 2),
        ({"entity": "drain-2", "location": None}, 2),
        ({"entity": "drain-1", "rule": "air/aqi", "category": "air"}, 2),
    ],
)
def test_warnings_of_one_place_and_kind_join_one_incident(centre, other, count):
    centre.detect(opens_incident=True, severity="yellow")
    centre.detect(opens_incident=True, severity="red", **other)
    found = centre.all_incidents()
    assert len(found) == count
    assert sorted(one.severity for one in found)[0] == "red"
    assert sum(len(one.warning_ids) for one in found) == 2


def test_neither_a_closed_nor_an_old_incident_is_joined(centre):
    centre.detect(opens_incident=True, rule="flood/a")
    centre.incidents.close(centre.all_incidents()[0].id, "done", centre.admin)
    centre.detect(opens_incident=True, rule="flood/b")
    centre.clock.advance(25 * 3600)
    centre.detect(opens_incident=True, rule="flood/c")
    assert len(centre.all_incidents()) == 3


def test_a_graver_warning_makes_its_incident_graver_and_never_milder(centre):
    centre.detect("raised", "yellow", opens_incident=True)
    centre.detect("changed", "red", opens_incident=True)
    centre.detect("changed", "blue", opens_incident=False)
    assert centre.all_incidents()[0].severity == "red"


def test_a_person_opens_from_a_warning_once(centre):
    centre.detect()
    warning = centre.all_warnings()[0]
    incident = centre.warnings.open_incident(warning.id, centre.admin, department="roads", note="look")
    assert (incident.department, incident.warning_ids) == ("roads", (warning.id,))
    with pytest.raises(Conflict) as caught:
        centre.warnings.open_incident(warning.id, centre.admin)
    assert caught.value.code == "warning.has_incident"


def test_a_person_opens_one_by_hand(centre):
    incident = centre.incidents.open(
        "Tree on the road", centre.admin, kind="road", severity="blue", location=NEAR, note="called in"
    )
    timeline = centre.incidents.timeline(incident.id, centre.admin)
    assert (timeline[0].kind, timeline[0].details["note"]) == ("opened", "called in")
    assert centre.said[-1].incident == incident


@pytest.mark.parametrize(
    ("code", "attempt"),
    [
        ("incident.text_length", lambda c: c.incidents.open(" ", c.admin)),
        ("incident.text_length", lambda c: c.incidents.open("x" * 4001, c.admin)),
        ("incident.severity_unknown", lambda c: c.incidents.open("x", c.admin, severity="pink")),
        ("incident.deadline_past", lambda c: c.incidents.open("x", c.admin, deadline_us=c.clock.now_us())),
        ("incident.task_state_unknown", lambda c: c.incidents.update_task("i", "t", c.admin, state="maybe")),
    ],
)
def test_bad_input_is_refused(centre, code, attempt):
    with pytest.raises(Invalid) as caught:
        attempt(centre)
    assert caught.value.code == code
    assert centre.all_incidents() == []


def test_two_people_do_not_overwrite_each_other(centre):
    incident = centre.incidents.open("Fire", centre.admin)
    centre.incidents.dispatch(incident.id, "fire", centre.admin, version=1)
    with pytest.raises(Conflict) as caught:
        centre.incidents.dispatch(incident.id, "water", centre.admin, version=1)
    assert caught.value.code == "incident.changed_meanwhile"
    assert centre.incidents.get(incident.id, centre.admin).department == "fire"


def test_permissions_hold_by_department(centre):
    water = centre.incidents.open("a", centre.admin, department="water")
    roads = centre.incidents.open("b", centre.admin, department="roads")
    nobody = centre.incidents.open("c", centre.admin)
    member = centre.person("incident.read", "incident.write", department="water")
    reader = centre.person("incident.read")
    seen = centre.incidents.list(IncidentFilter(), member)
    assert {one.id for one in seen.items} == {water.id, nobody.id}
    for attempt in (
        lambda: centre.incidents.get(roads.id, member),
        lambda: centre.incidents.timeline(roads.id, member),
        lambda: centre.incidents.add_note(roads.id, "x", member),
    ):
        with pytest.raises(NotFound):
            attempt()
    for attempt in (
        lambda: centre.incidents.add_note(water.id, "x", reader),
        lambda: centre.incidents.open("d", reader),
        lambda: centre.incidents.open("d", member, department="roads"),
    ):
        with pytest.raises(Denied):
            attempt()
    centre.incidents.add_task(roads.id, "pump", centre.admin, department="water")
    assert centre.incidents.update_task(roads.id, "t1", member, state="done").tasks[0].state == "done"
    with pytest.raises(Denied):
        centre.incidents.close(roads.id, "x", member)


def test_a_deadline_presses_until_somebody_acts(centre):
    deadline = centre.clock.now_us() + 3600 * centre.S
    incident = centre.incidents.open("x", centre.admin, severity="yellow", deadline_us=deadline)
    found = []
    for _ in range(60 * 5):
        centre.clock.advance(60)
        centre.incidents.tick(centre.clock.now_us())
    for one in centre.incidents.timeline(incident.id, centre.admin):
        found.append((one.kind, (one.at_us - incident.opened_at_us) // (60 * centre.S)))
    assert found == [("opened", 0), ("overdue", 60), ("overdue", 90), ("overdue", 120)]
    incident = centre.incidents.get(incident.id, centre.admin)
    assert (incident.overdue, incident.escalations, incident.severity) == (True, 3, "red")
    assert [one.id for one in centre.all_incidents(overdue=True)] == [incident.id]
    later = centre.clock.now_us() + 60 * centre.S
    incident = centre.incidents.dispatch(incident.id, "water", centre.admin, deadline_us=later)
    assert (incident.overdue, incident.escalations) == (False, 0)
    centre.clock.advance(61)
    centre.incidents.tick(centre.clock.now_us())
    assert centre.incidents.get(incident.id, centre.admin).overdue


def test_a_closed_incident_is_not_pressed(centre):
    incident = centre.incidents.open("x", centre.admin, deadline_us=centre.clock.now_us() + centre.S)
    centre.incidents.close(incident.id, "done", centre.admin)
    centre.clock.advance(10)
    centre.incidents.tick(centre.clock.now_us())
    assert centre.lines(incident.id) == ["opened", "closed"]


def test_a_command_that_an_incident_caused_joins_its_timeline(centre):
    incident = centre.incidents.open("x", centre.admin)
    for state in ("sent", "sent", "acknowledged"):
        centre.tell("cmd-1", state, cause=incident.id)
    centre.tell("cmd-2", "sent", cause="inc-unknown")
    centre.tell("cmd-3", "sent")
    assert centre.lines(incident.id) == ["opened", "command", "command"]


def test_every_change_is_in_the_audit_trail(centre):
    incident = centre.incidents.open("x", centre.admin)
    centre.incidents.dispatch(incident.id, "water", centre.admin)
    centre.detect()
    centre.warnings.acknowledge(centre.all_warnings()[0].id, centre.admin)
    audit = Audit(centre.database, centre.clock)
    assert {"incident.opened", "incident.dispatched", "warning.acknowledged"} <= {
        one.action for one in audit.list().items
    }
    assert audit.verify().intact


def test_everything_survives_a_restart(centre):
    centre.detect(opens_incident=True, commands=(centre.pump(),))
    before = (centre.all_warnings(), centre.all_incidents())
    centre.begin()
    assert (centre.all_warnings(), centre.all_incidents()) == before
