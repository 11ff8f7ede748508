"""A command's life, its time-outs, its effects, and what a restart leaves of it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from gulou.access import Audit, AuditFilter, DeviceCredentials, Permission, Principal
from gulou.connectivity.bus import InProcessBus, MemoryBus
from gulou.connectivity.commands import (
    CommandChanged,
    CommandQuery,
    CommandRequest,
    CommandService,
    CommandSettings,
    ExpectedEffect,
)
from gulou.connectivity.commands.store_sql import list_page
from gulou.connectivity.devices import Device, DeviceRegistry
from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.kernel.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from gulou.records import Database

ADMIN = Principal.system("test")
PUMP = "urn:ngsi-ld:Pump:pump-1"
SERIES = SeriesCatalogue()


class Sender:
    """An adapter whose devices are reached or not, as told; it may answer at once."""

    def __init__(self):
        self.reached, self.sent, self.answer = True, [], None

    def send(self, command):
        if not self.reached:
            return False
        self.sent.append(command)
        if self.answer is not None:
            self.answer(command)
        return True


class Post:
    def __init__(self, path, bus):
        self.clock = VirtualClock(1_000_000 * SECOND_US)
        self.bus = bus
        self.database = Database.at(path / "records.db")
        self.database.create_tables()
        self.audit = Audit(self.database, self.clock)
        self.devices = DeviceRegistry(
            self.database, self.clock, bus, self.audit, DeviceCredentials(self.database, self.clock)
        )
        self.devices.create(Device(id="pump-1", name="pump", adapter="mqtt", department="water"), ADMIN)
        self.changes = []
        bus.subscribe(CommandChanged, self.changes.append, name="changes")
        self.open()

    def open(self, **settings):
        self.sender = Sender()
        self.commands = CommandService(
            self.database,
            self.clock,
            self.bus,
            self.audit,
            self.devices,
            settings=CommandSettings(**settings),
            series=SERIES,
        )
        self.commands.register_sender("mqtt", self.sender)
        return self.commands

    def request(self, **changes):
        return self.commands.request(CommandRequest(**({"device_id": "pump-1", "name": "switch"} | changes)), ADMIN)

    def state(self, command):
        return self.commands.get_command(command.id).state

    def pass_time(self, seconds):
        self.clock.advance(seconds)
        self.commands.tick(self.clock.now_us())

    def issue(self, *ids, **changes):
        requests = [CommandRequest(**({"device_id": "pump-1", "name": "switch", "id": one} | changes)) for one in ids]
        return self.commands.issue(requests, ADMIN)

    def crash(self):
        """Start anew, without what was to be written."""
        self.forget("commands", "commands.record")
        self.open()

    def forget(self, *names):
        self.bus._subscribers = tuple(one for one in self.bus._subscribers if one.status().name not in names)

    def records(self):
        return sorted((one.id, one.state) for one in list_page(self.database, CommandQuery(limit=1000)).items)

    def observe(self, value, *, ago_s=0.0, sequence=1, property_name="status"):
        at_us = self.clock.now_us() - round(ago_s * SECOND_US)
        reading = Reading(PUMP, "Pump", property_name, value, at_us)
        self.commands.apply(LogBatch(sequence, at_us, "test", (reading,)))

    def states(self):
        return [change.command.state for change in self.changes]


@pytest.fixture
def post(tmp_path):
    bus = MemoryBus()
    post = Post(tmp_path, bus)
    yield post
    bus.close()
    post.database.close()


ON = ExpectedEffect(PUMP, "status", "on")


def test_the_whole_loop(post):
    command = post.request(parameters={"on": True}, effect=ON, cause="detection-1", requested_by="rule:flood/high")
    assert (command.state, command.attempts, command.requested_by) == ("sent", 1, "rule:flood/high")
    assert post.sender.sent[0].parameters == {"on": True}
    assert post.commands.acknowledge(command.id, True, None, post.clock.now_us()).state == "acknowledged"
    post.clock.advance(3)
    post.observe("on")
    done = post.commands.get_command(command.id)
    assert (done.state, done.effect_seen_at_us, done.ended_at_us) == (
        "effect_seen",
        post.clock.now_us(),
        post.clock.now_us(),
    )
    assert post.states() == ["requested", "sent", "acknowledged", "effect_seen"]
    assert post.commands.active_count() == 0


def test_without_an_effect_the_acknowledgement_is_the_end(post):
    command = post.request()
    ended = post.commands.acknowledge(command.id, True, "done", post.clock.now_us())
    assert (ended.state, ended.reason, ended.ended_at_us) == ("acknowledged", "done", post.clock.now_us())
    post.pass_time(100_000)
    assert post.state(command) == "acknowledged"


@pytest.mark.parametrize(("detail", "reason"), [("valve stuck", "valve stuck"), (None, "command.refused")])
def test_a_refusal_ends_it(post, detail, reason):
    command = post.request(effect=ON)
    ended = post.commands.acknowledge(command.id, False, detail, post.clock.now_us())
    assert (ended.state, ended.reason) == ("failed", reason)
    assert post.commands.acknowledge(command.id, True, None, post.clock.now_us()).state == "failed"


def test_an_answer_inside_send_counts(post):
    post.sender.answer = lambda command: post.commands.acknowledge(command.id, True, None, post.clock.now_us())
    assert post.request().state == "acknowledged"
    assert post.states() == ["requested", "acknowledged"]


def test_no_answer_is_asked_again_and_then_given_up(post):
    command = post.request(retries=2, acknowledge_within_s=10)
    for attempts in (2, 3):
        post.pass_time(10)
        assert len(post.sender.sent) == attempts
    post.pass_time(10)
    ended = post.commands.get_command(command.id)
    assert (ended.state, ended.reason, ended.attempts) == ("timed_out", "command.not_acknowledged", 3)
    assert {sent.id for sent in post.sender.sent} == {command.id}


def test_an_effect_that_never_shows(post):
    command = post.request(effect=ON, effect_within_s=60)
    post.commands.acknowledge(command.id, True, None, post.clock.now_us())
    post.pass_time(59)
    assert post.state(command) == "acknowledged"
    post.pass_time(1)
    assert post.commands.get_command(command.id).reason == "command.effect_not_seen"


def test_an_effect_without_an_answer_is_believed(post):
    command = post.request(effect=ON)
    post.observe("on")
    assert post.state(command) == "effect_seen"


@pytest.mark.parametrize(
    ("effect", "value", "ago_s", "seen"),
    [
        (ON, "off", 0, False),
        (ON, "on", 0.9, True),
        (ON, "on", 2, False),
        (ExpectedEffect(PUMP, "status", 1.5, 0.1), 1.6, 0, True),
        (ExpectedEffect(PUMP, "status", 1.5, 0.1), 1.7, 0, False),
        (ExpectedEffect(PUMP, "status", True), True, 0, True),
        (ExpectedEffect(PUMP, "status", True), 1, 0, True),
        (ExpectedEffect(PUMP, "status", 1.5), "1.5", 0, False),
        (ExpectedEffect(PUMP, "status", "on"), {"a": 1}, 0, False),
    ],
)
def test_what_counts_as_the_effect(post, effect, value, ago_s, seen):
    command = post.request(effect=effect)
    post.observe(value, ago_s=ago_s)
    assert (post.state(command) == "effect_seen") is seen


def test_an_effect_seen_before_it_was_sent_does_not_count(post):
    post.sender.reached = False
    command = post.request(effect=ON)
    post.observe("on")
    assert post.state(command) == "requested"


def test_a_device_that_is_away_gets_it_when_it_comes(post):
    post.sender.reached = False
    first, second = post.request(), post.request()
    assert (first.state, first.attempts) == ("requested", 0)
    post.sender.reached = True
    post.devices.connected("pump-1")
    assert [sent.id for sent in post.sender.sent] == [first.id, second.id]
    assert post.state(first) == "sent"


def test_an_adapter_may_say_that_it_is_there(post):
    post.sender.reached = False
    command = post.request()
    post.sender.reached = True
    post.commands.device_available("pump-1")
    assert post.state(command) == "sent"


def test_a_gateway_brings_its_children(post):
    post.devices.create(Device(id="gate", name="gate", adapter="mqtt"), ADMIN)
    post.devices.create(Device(id="child", name="child", adapter="mqtt", gateway_id="gate"), ADMIN)
    post.sender.reached = False
    command = post.request(device_id="child")
    post.sender.reached = True
    post.commands.device_available("gate")
    assert post.state(command) == "sent"


def test_an_online_device_that_was_busy_is_tried_again(post):
    post.devices.connected("pump-1")
    post.sender.reached = False
    command = post.request()
    post.sender.reached = True
    post.pass_time(5)
    assert post.state(command) == "sent"


def test_a_command_nobody_could_take_expires(post):
    post.sender.reached = False
    command = post.request(expires_in_s=60)
    post.pass_time(59)
    assert post.state(command) == "requested"
    post.pass_time(1)
    assert (post.state(command), post.commands.get_command(command.id).reason) == ("expired", "command.expired")


def test_a_sleepy_device_is_waited_for_and_not_given_up(post):
    post.devices.create(Device(id="meter", name="meter", adapter="mqtt", sleepy=True), ADMIN)
    command = post.request(device_id="meter", retries=0, acknowledge_within_s=10, expires_in_s=3600)
    post.sender.reached = False
    post.pass_time(11)
    assert post.state(command) == "requested"
    post.sender.reached = True
    post.commands.device_available("meter")
    assert post.state(command) == "sent"


def test_a_device_that_left_between_two_tries_is_waited_for(post):
    command = post.request(acknowledge_within_s=10)
    post.sender.reached = False
    post.pass_time(10)
    assert post.state(command) == "requested"


def test_the_same_id_is_one_command(post):
    first = post.request(id="flood/high/x/1")
    again = post.request(id="flood/high/x/1")
    assert (again, len(post.sender.sent)) == (first, 1)
    post.commands.acknowledge(first.id, True, None, post.clock.now_us())
    post.commands.tick(post.clock.now_us())
    assert post.request(id=first.id).state == "acknowledged"
    post.devices.create(Device(id="other", name="other", adapter="mqtt"), ADMIN)
    with pytest.raises(Conflict) as refused:
        post.request(id=first.id, device_id="other")
    assert refused.value.code == "command.id_taken"


def test_only_what_was_not_sent_can_be_taken_back(post):
    sent = post.request()
    with pytest.raises(Conflict) as refused:
        post.commands.cancel(sent.id, ADMIN)
    assert refused.value.code == "command.not_waiting"
    post.sender.reached = False
    waiting = post.request()
    assert post.commands.cancel(waiting.id, ADMIN).state == "cancelled"
    post.sender.reached = True
    post.commands.device_available("pump-1")
    assert [command.id for command in post.sender.sent] == [sent.id]


def test_requests_and_cancellations_are_audited(post):
    post.sender.reached = False
    command = post.request()
    post.commands.cancel(command.id, ADMIN)
    entries = [entry.action for entry in post.audit.list(AuditFilter()).items]
    assert {"command.requested", "command.cancelled"} <= set(entries)


def test_who_may_command_and_who_it_was(post):
    water = Principal(
        "user", "u-1", "Li", permissions=(Permission("device.command", departments=frozenset({"water"})),)
    )
    roads = Principal(
        "user", "u-2", "Wu", permissions=(Permission("device.command", departments=frozenset({"roads"})),)
    )
    wish = CommandRequest(device_id="pump-1", name="switch", requested_by="rule:not/true")
    assert post.commands.request(wish, water).requested_by == "u-1"
    with pytest.raises(Denied):
        post.commands.request(wish, roads)
    assert len(post.sender.sent) == 1


def test_what_cannot_be_commanded(post):
    with pytest.raises(NotFound):
        post.request(device_id="nobody")
    post.devices.change("pump-1", {"enabled": False}, ADMIN)
    with pytest.raises(Conflict) as refused:
        post.request()
    assert refused.value.code == "device.disabled"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"id": "a\nb"},
        {"id": "x" * 513},
        {"retries": 21},
        {"acknowledge_within_s": 0},
        {"effect_within_s": float("inf")},
        {"expires_in_s": float("nan")},
        {"parameters": {"x": object()}},
        {"parameters": {"x": "y" * 20_000}},
        {"effect": ExpectedEffect(PUMP, "status", 1.0, -1.0)},
    ],
)
def test_malformed_requests(post, changes):
    with pytest.raises(Invalid) as refused:
        post.request(**changes)
    assert refused.value.code == "command.field_invalid"
    assert post.commands.active_count() == 0


def test_too_many_waiting_commands(post):
    post.open(max_active=1)
    post.request()
    with pytest.raises(Unavailable) as refused:
        post.request()
    assert refused.value.code == "command.too_many"


def test_a_removed_device_fails_its_commands(post):
    post.sender.reached = False
    command = post.request()
    post.devices.delete("pump-1", ADMIN)
    post.commands.device_available("pump-1")
    assert (post.state(command), post.commands.get_command(command.id).reason) == ("failed", "device.unknown")


def test_a_request_survives_a_crash_and_is_sent_again(post):
    command = post.request(effect=ON)
    again = post.open()  # neither tick nor stop: "sent" was not written, the request was
    assert again.get_command(command.id).state == "requested"
    again.device_available("pump-1")
    assert [sent.id for sent in post.sender.sent] == [command.id]


def test_what_was_ticked_survives_a_crash(post):
    command = post.request(effect=ON, parameters={"on": True, "深": [1, 2]})
    post.commands.acknowledge(command.id, True, None, post.clock.now_us())
    post.commands.tick(post.clock.now_us())
    before = post.commands.get_command(command.id)
    again = post.open()
    assert again.get_command(command.id) == before
    post.observe("on", sequence=5)
    again.checkpoint()
    assert again.position() == 5
    assert post.open().position() == 5
    assert post.state(command) == "effect_seen"


def test_replayed_batches_change_nothing(post):
    command = post.request(effect=ON)
    post.observe("on", sequence=3)
    changes = len(post.changes)
    post.observe("on", sequence=3)
    assert (post.state(command), len(post.changes)) == ("effect_seen", changes)


def test_lists(post):
    made = []
    for number in range(5):
        made.append(post.request(id=f"c{number}", cause="why" if number % 2 else None).id)
        post.clock.advance(1)
    post.commands.acknowledge("c0", True, None, post.clock.now_us())

    def ids(**query):
        page = post.commands.list_commands(CommandQuery(**query))
        return [item.id for item in page.items]

    assert ids() == made[::-1]
    assert ids(cause="why") == ["c3", "c1"]
    assert ids(active=False) == ids(state="acknowledged") == ["c0"]
    assert ids(active=True, device_id="pump-1") == ["c4", "c3", "c2", "c1"]
    assert ids(departments=frozenset({"water"})) == made[::-1]
    assert ids(departments=frozenset({"roads"})) == ids(device_id="other") == []
    first = post.commands.list_commands(CommandQuery(limit=2))
    second = post.commands.list_commands(CommandQuery(limit=2, cursor=first.next))
    assert ([item.id for item in second.items], second.total) == (["c2", "c1"], 5)
    for query, code in (({"limit": 0}, "command.page_limit"), ({"cursor": "x"}, "command.cursor_malformed")):
        with pytest.raises(Invalid) as refused:
            post.commands.list_commands(CommandQuery(**query))
        assert refused.value.code == code


def test_old_commands_are_forgotten(post):
    post.open(keep_days=1)
    command = post.request()
    post.commands.acknowledge(command.id, True, None, post.clock.now_us())
    post.pass_time(1)
    assert post.state(command) == "acknowledged"
    post.pass_time(2 * 86_400)
    with pytest.raises(NotFound):
        post.commands.get_command(command.id)


def test_a_subscriber_may_command_in_answer(post):
    def follow(change):
        for _ in range(change.command.id == "first" and change.command.state == "sent"):
            post.request(id="second")

    post.bus.subscribe(CommandChanged, follow, name="follow")
    post.request(id="first")
    assert post.state(post.commands.get_command("second")) == "sent"
    assert [(c.command.id, c.command.state) for c in post.changes] == [
        ("first", "requested"),
        ("first", "sent"),
        ("second", "requested"),
        ("second", "sent"),
    ]


def test_on_the_threaded_bus_a_connection_sends_what_waits(tmp_path):
    bus = InProcessBus()
    post = Post(tmp_path, bus)
    post.sender.reached = False
    command = post.request()
    post.sender.reached = True
    post.devices.connected("pump-1")
    bus.drain()
    assert post.state(command) == "sent"
    bus.close()
    post.database.close()


def test_what_is_issued_leaves_before_it_is_recorded_and_has_one_record(post):
    recorded_at_sending = []
    post.sender.answer = lambda command: recorded_at_sending.append(post.records())
    (command,) = post.issue("rule-1", cause="detection-1")
    assert recorded_at_sending == [[]]
    assert (command.id, command.state, command.attempts) == ("rule-1", "sent", 1)
    assert post.records() == [("rule-1", "sent")]
    assert post.states() == ["sent"]
    assert post.issue("rule-1") == [command]
    assert len(post.sender.sent) == 1
    entries = post.audit.list(AuditFilter(action="command.requested")).items
    assert [(one.object_id, one.details["cause"]) for one in entries] == [("rule-1", "detection-1")]
    assert post.audit.verify().intact


def test_many_are_issued_together_and_each_refusal_stands_alone(post):
    post.devices.create(Device(id="off", name="off", adapter="mqtt", enabled=False), ADMIN)
    requests = [CommandRequest(device_id=one, name="switch", id=f"r-{one}") for one in ("pump-1", "no", "off")]
    first, unknown, disabled = post.commands.issue(requests, ADMIN)
    assert first.state == "sent"
    assert (unknown.code, disabled.code) == ("device.unknown", "device.disabled")
    many = post.issue(*(f"m-{n}" for n in range(1200)))
    assert {one.state for one in many} == {"sent"}
    assert post.commands.list_commands(CommandQuery(limit=1)).total == 1201
    post.crash()
    post.open(max_active=1)
    (refused,) = post.issue("one-too-many")
    assert refused.code == "command.too_many"


def test_issued_and_not_recorded_is_sent_again_after_a_crash_under_its_id(post):
    post.forget("commands.record")
    post.issue("rule-1", "rule-2")
    assert post.records() == []
    post.crash()
    post.issue("rule-1", "rule-2")
    assert [one.id for one in post.sender.sent] == ["rule-1", "rule-2"]
    assert post.records() == [("rule-1", "sent"), ("rule-2", "sent")]
    post.crash()
    post.issue("rule-1", "rule-2")
    assert post.sender.sent == []


def test_what_ended_before_a_restart_and_is_no_longer_remembered_keeps_its_record(post):
    post.issue("rule-1")
    post.commands.acknowledge("rule-1", True, "done", post.clock.now_us())
    post.commands.stop()
    post.commands._known.clear()
    post.issue("rule-1")
    post.commands.stop()
    assert post.records() == [("rule-1", "acknowledged")]
    assert post.commands.active_count() == 0


def test_what_could_not_be_recorded_is_recorded_later(post):
    with post.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE commands RENAME TO gone")
    post.issue("rule-1")
    assert len(post.sender.sent) == 1
    with post.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO commands")
    post.pass_time(1)
    assert post.records() == [("rule-1", "sent")]


def test_an_issued_command_can_be_taken_back_answered_and_waits_like_any_other(post):
    post.sender.reached = False
    post.issue("a", "b", "c", expires_in_s=60)
    assert post.commands.cancel("a", ADMIN).state == "cancelled"
    post.sender.reached = True
    post.devices.connected("pump-1")
    post.commands.acknowledge("b", True, None, post.clock.now_us())
    post.pass_time(11)
    assert [one.id for one in post.sender.sent] == ["b", "c", "c"]
    assert post.records() == [("a", "cancelled"), ("b", "acknowledged"), ("c", "sent")]


@pytest.fixture
def disk(post, monkeypatch):
    """A disk that a test stops (``disk.go.clear()``); ``disk.asked`` is set once somebody waits for it."""
    disk = SimpleNamespace(go=Event(), asked=Event(), refuses=False)
    transaction = post.database.transaction

    @contextmanager
    def slow(**named):
        disk.asked.set()
        assert disk.go.wait(20)
        if disk.refuses:
            raise Unavailable("records.unavailable", detail="full")
        with transaction(**named) as connection:
            yield connection

    disk.go.set()
    monkeypatch.setattr(post.database, "transaction", slow)
    yield disk
    disk.go.set()


def cancelled_slowly(post, disk, pool):
    """Begin to take command ``a`` back, on a disk that does not answer yet."""
    post.sender.reached = False
    post.issue("a", expires_in_s=60)
    post.commands.stop()  # it has its record
    disk.go.clear()
    disk.asked.clear()
    cancelling = pool.submit(post.commands.cancel, "a", ADMIN)
    assert disk.asked.wait(20)
    post.sender.reached = True
    return cancelling


def test_issuing_does_not_wait_for_the_disk_of_who_takes_back(post, disk):
    with ThreadPoolExecutor() as pool:
        cancelling = cancelled_slowly(post, disk, pool)
        assert pool.submit(post.commands.device_available, "pump-1").result(20) is None
        post.commands.acknowledge("a", True, None, post.clock.now_us())
        writing = pool.submit(post.issue, "b")  # this bus records on the publisher's thread
        while [one.id for one in post.sender.sent] != ["b"]:
            assert not writing.done()
            time.sleep(0.001)
        disk.go.set()
        assert cancelling.result(20).state == "cancelled"
        writing.result(20)
    assert post.records() == [("a", "cancelled"), ("b", "sent")]
    assert post.commands.active_count() == 1


def test_what_cannot_be_taken_back_goes_on(post, disk):
    with ThreadPoolExecutor() as pool:
        cancelling = cancelled_slowly(post, disk, pool)
        disk.refuses = True
        disk.go.set()
        with pytest.raises(Unavailable):
            cancelling.result(20)
    disk.refuses = False
    post.commands.device_available("pump-1")
    assert [one.id for one in post.sender.sent] == ["a"]
    assert post.states()[-1] == "sent"


def test_what_expires_while_it_cannot_be_taken_back_expires_afterwards(post, disk):
    with ThreadPoolExecutor() as pool:
        cancelling = cancelled_slowly(post, disk, pool)
        disk.refuses = True
        post.clock.advance(61)
        ticking = pool.submit(post.commands.tick, post.clock.now_us())
        disk.go.set()
        with pytest.raises(Unavailable):
            cancelling.result(20)
        ticking.exception(20)  # it may have had its turn before or after
    disk.refuses = False
    post.pass_time(1)
    assert post.states()[-1] == "expired"


@pytest.mark.parametrize("number_first", [True, False])
def test_an_effect_shows_in_columns(post, number_first):
    entity_id = f"urn:ngsi-ld:Pump:{number_first}"
    if number_first:
        SERIES.number_of(entity_id, "Pump", "flow")
    command = post.request(effect=ExpectedEffect(entity_id, "flow", 1.5, 0.1))

    def rows(*values):
        number, other = (SERIES.number_of(one, "Pump", "flow") for one in (entity_id, "urn:ngsi-ld:Pump:other"))
        series = np.array([other, *[number] * len(values)], np.int32)
        times = np.full(len(series), post.clock.now_us(), np.int64)
        return LogBatch(1, 0, "test", (), columns=Columns(series, times, np.array([1.5, *values], np.float64)))

    post.commands.apply(rows(1.0, 1.2))
    assert post.state(command) == "sent"
    post.commands.apply(rows(1.0, 1.6))
    assert post.state(command) == "effect_seen"
    assert post.commands._awaited.rows(rows(1.5).columns).tolist() == []


def test_what_is_issued_does_not_wait_while_a_person_s_request_is_written(post, monkeypatch):
    store, entered, go_on = post.commands._store, threading.Event(), threading.Event()

    def slow(*arguments):
        entered.set()
        assert go_on.wait(10)
        store(*arguments)

    monkeypatch.setattr(post.commands, "_store", slow)
    post.forget("commands.record")
    asking = threading.Thread(target=post.request)
    asking.start()
    assert entered.wait(10)
    post.issue("rule-1")
    assert [one.id for one in post.sender.sent] == ["rule-1"]
    go_on.set()
    asking.join()
    assert len(post.sender.sent) == 2
