"""How simulated devices answer commands."""

import pytest

from gulou.kernel.clock import from_rfc3339
from gulou.sensing.simulation import SimulationSettings, World, build_city
from gulou.sensing.simulation.links import BackOff, Buffer, CommandDesk, LinkCounts, Message
from gulou.sensing.simulation.world import Outcome

NOON_US = from_rfc3339("2026-07-01T12:00:00+08:00")


@pytest.fixture(scope="module")
def city():
    return build_city(SimulationSettings(devices=100, storm="never"))


@pytest.fixture
def world(city):
    return World(city, NOON_US)


def last(world, device_id, seconds):
    found = {}
    for _ in range(seconds):
        for said in world.step():
            found = said.channels if said.device.id == device_id else found
    return found


@pytest.mark.parametrize(
    ("device_id", "name", "parameters", "expected"),
    [
        ("streetlight-1", "switch", {"powerState": "on"}, {"powerState": "on", "illuminanceLevel": 1.0}),
        ("streetlight-1", "set_level", {"illuminanceLevel": 0.4}, {"powerState": "low", "illuminanceLevel": 0.4}),
        ("streetlight-1", "turn_off", {}, {"powerState": "off", "illuminanceLevel": 0.0}),
        ("gate-1", "open", {}, {"gateState": "open", "openingLevel": 1.0}),
        ("gate-1", "close", {}, {"gateState": "closed", "openingLevel": 0.0}),
        ("gate-1", "set_opening", {"openingLevel": 0.5}, {"gateState": "partlyOpen", "openingLevel": 0.5}),
        ("pump-2", "switch", {"state": "off"}, {"powerState": "off", "activePower": 0.0}),
    ],
)
def test_a_command_is_obeyed_and_reported(world, device_id, name, parameters, expected):
    outcome = world.command(device_id, name, parameters)

    assert outcome.ok
    assert last(world, device_id, 45).items() >= expected.items()


@pytest.mark.parametrize(
    ("device_id", "name", "parameters"),
    [
        ("pump-1", "explode", {}),
        ("pump-1", "switch", {}),
        ("pump-1", "switch", {"powerState": "maybe"}),
        ("pump-1", "switch", {"powerState": ["on"]}),
        ("gate-1", "set_opening", {"openingLevel": 7}),
        ("gate-1", "set_opening", {"openingLevel": "wide"}),
        ("gate-1", "set_opening", {"openingLevel": float("nan")}),
        ("gate-1", "set_opening", {}),
        ("streetlight-1", "set_level", {"illuminanceLevel": None}),
        ("drain-1", "switch", {"powerState": "on"}),
        ("nobody", "switch", {"powerState": "on"}),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(world, device_id, name, parameters):
    outcome = world.command(device_id, name, parameters)

    assert not outcome.ok
    assert outcome.detail


def test_an_actuator_reports_at_the_next_tick(world):
    world.command("gate-2", "open", {})

    assert "gate-2" in {said.device.id for said in world.step()}


def test_an_automatic_lamp_follows_the_clock_again(world):
    world.command("streetlight-2", "turn_on", {})
    world.command("streetlight-2", "automatic", {})

    assert last(world, "streetlight-2", 1)["powerState"] == "off"


def test_a_repeated_command_is_carried_out_once_and_answered_again():
    done = []
    desk = CommandDesk(lambda *call: done.append(call) or Outcome(True, "running"), LinkCounts())
    raw = b'{"id": "c1", "name": "switch", "parameters": {"powerState": "on"}}'

    answers = [desk.answer("pump-1", raw) for _ in range(3)]

    assert answers == [{"id": "c1", "ok": True, "detail": "running"}] * 3
    assert done == [("pump-1", "switch", {"powerState": "on"})]


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[]", b"{}", b'{"id": "x"}', b"\xff\xfe", b"7"])
def test_garbage_instead_of_a_command_is_no_command(raw):
    desk = CommandDesk(lambda *call: Outcome(True, ""), LinkCounts())

    assert desk.answer("pump-1", raw) is None


def test_a_full_buffer_loses_the_oldest_and_counts_it():
    counts = LinkCounts()
    buffer = Buffer(counts, bound=3)
    for number in range(5):
        buffer.add(Message(f"d{number}", b"{}", 2))

    assert counts.lost_readings == 4
    assert [message.device_id for message in buffer.take(10)] == ["d2", "d3", "d4"]


def test_messages_given_back_keep_their_order():
    buffer = Buffer(LinkCounts())
    for number in range(4):
        buffer.add(Message(f"d{number}", b"{}", 1))
    buffer.give_back(buffer.take(2))

    assert [message.device_id for message in buffer.take(10)] == ["d0", "d1", "d2", "d3"]


def test_back_off_doubles_up_to_half_a_minute_and_starts_again():
    back_off = BackOff(first_s=1.0)
    waits = [back_off.next_s() for _ in range(7)]
    back_off.reset()

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert back_off.next_s() == 1.0
