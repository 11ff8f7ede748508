"""Writers take turns in order, and the urgent go first."""

import threading
import time

import pytest

from gulou.records.turn import Turn

WITHIN_S = 10


@pytest.fixture
def turn():
    return Turn()


class Writer(threading.Thread):
    """Waits for its turn, notes its name, gives the turn back."""

    def __init__(self, turn, name, order, *, urgent=False):
        super().__init__(name=name, daemon=True)
        self.turn, self.order, self.urgent = turn, order, urgent

    def run(self):
        assert self.turn.acquire(WITHIN_S, urgent=self.urgent)
        self.order.append(self.name)
        self.turn.release()


def waiting(turn):
    return len(turn._urgent) + len(turn._others)


def start_one_after_another(turn, writers):
    for count, writer in enumerate(writers, 1):
        writer.start()
        deadline = time.monotonic() + WITHIN_S
        while waiting(turn) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        assert waiting(turn) == count


def test_writers_come_in_the_order_of_asking_and_the_urgent_first(turn):
    order = []
    assert turn.acquire(WITHIN_S)
    writers = [
        Writer(turn, "first", order),
        Writer(turn, "second", order),
        Writer(turn, "urgent", order, urgent=True),
        Writer(turn, "urgent too", order, urgent=True),
    ]
    start_one_after_another(turn, writers)
    turn.release()
    for writer in writers:
        writer.join(WITHIN_S)
    assert order == ["urgent", "urgent too", "first", "second"]


def test_the_turn_goes_to_who_waits_and_not_to_who_had_it(turn):
    order = []
    assert turn.acquire(WITHIN_S)
    writer = Writer(turn, "waiting", order)
    start_one_after_another(turn, [writer])
    turn.release()
    assert turn.acquire(WITHIN_S)
    assert order == ["waiting"]


def test_who_has_waited_too_long_is_told_and_leaves_the_queue(turn):
    assert turn.acquire(WITHIN_S)
    assert not turn.acquire(0.01)
    assert not turn.acquire(0.01, urgent=True)
    assert waiting(turn) == 0
    turn.release()
    assert turn.acquire(0.01)
