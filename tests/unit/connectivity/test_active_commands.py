"""What waits is looked at when its time has come; what has ended leaves nothing behind."""

import msgspec
import pytest

from gulou.connectivity.commands import Command
from gulou.connectivity.commands.active import ActiveCommands, due_of
from gulou.connectivity.commands.awaited import AwaitedSeries
from gulou.connectivity.intake import SeriesCatalogue

S = 1_000_000


@pytest.fixture
def active():
    return ActiveCommands(AwaitedSeries(SeriesCatalogue()))


def command(number, **changes):
    at_us = number * S
    return Command(
        id=f"c-{number}", device_id=f"pump-{number % 7}", name="switch", parameters={}, state="requested",
        requested_by="rule:flood/level", requested_at_us=at_us, expires_at_us=at_us + 3_600 * S, **changes,
    )  # fmt: skip


def test_very_many_that_ended_before_their_time_take_no_room(active):
    waiting = [command(number) for number in range(0, 30_000, 1_000)]
    for one in waiting:
        active.put(one)
    for number in range(30_000):
        if number % 1_000:
            asked = command(number)
            sent = msgspec.structs.replace(asked, state="sent", sent_at_us=number * S)
            for state in (asked, sent, msgspec.structs.replace(sent, state="done", ended_at_us=number * S + 5)):
                active.put(state)
        if number % 100 == 0:
            assert list(active.take_due(0)) == []
    assert len(active) == 30
    assert len(active._due) < 2_000

    due = [one.id for one in active.take_due(40_000 * S)]
    assert due == [one.id for one in waiting]


def test_one_that_was_looked_at_in_vain_comes_again_only_when_it_is_reminded(active):
    held = command(1)
    active.put(held)
    assert [one.id for one in active.take_due(due_of(held))] == ["c-1"]
    for number in range(2, 2_000):
        active.put(command(number))
        active.put(msgspec.structs.replace(command(number), ended_at_us=number * S))
    assert list(active.take_due(due_of(held))) == []
    active.remind(held)
    assert [one.id for one in active.take_due(due_of(held))] == ["c-1"]
