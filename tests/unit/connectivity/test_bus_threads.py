"""Bounds and back-pressure of the threaded bus."""

import threading

import pytest

from gulou.connectivity.bus import InProcessBus, Message
from gulou.kernel.errors import Unavailable


class Rang(Message, frozen=True, kw_only=True):
    number: int


@pytest.fixture
def bus():
    bus = InProcessBus()
    yield bus
    bus.close()


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_live_view_that_is_slow_loses_the_oldest_and_hurts_nobody(bus, gate):
    slow, quick = [], []
    entered = threading.Event()

    def handle(message):
        entered.set()
        gate.wait(10)
        slow.append(message.number)

    bus.subscribe(Rang, handle, name="slow", bound=2, lossless=False)
    bus.subscribe(Rang, lambda m: quick.append(m.number), name="quick")
    bus.publish(Rang(at_us=0, number=0))
    assert entered.wait(10)
    for number in range(1, 6):
        bus.publish(Rang(at_us=0, number=number))
    gate.set()
    bus.drain()
    assert slow == [0, 4, 5]
    assert quick == [0, 1, 2, 3, 4, 5]
    assert {s.name: s.dropped for s in bus.status()} == {"slow": 3, "quick": 0}


def test_a_publisher_waits_for_a_lossless_subscriber(bus, gate):
    seen = []
    published = threading.Event()

    def handle(message):
        gate.wait(10)
        seen.append(message.number)

    def publish():
        for number in range(5):
            bus.publish(Rang(at_us=0, number=number))
        published.set()

    bus.subscribe(Rang, handle, name="slow", bound=2)
    thread = threading.Thread(target=publish)
    thread.start()
    assert not published.wait(0.05)
    gate.set()
    thread.join(10)
    bus.drain()
    assert seen == [0, 1, 2, 3, 4]


def test_two_handlers_that_feed_each_other_do_not_lock_up(bus):
    seen = []

    def split(message):
        seen.append(message.number)
        for _ in range(2 * (message.number > 0)):
            bus.publish(Rang(at_us=0, number=message.number - 1))

    bus.subscribe(Rang, split, name="a", bound=1)
    bus.subscribe(Rang, lambda m: None, name="b", bound=1)
    bus.publish(Rang(at_us=0, number=6))
    bus.drain()
    assert len(seen) == 2**7 - 1


def test_drain_gives_up_with_a_clear_error(bus, gate):
    bus.subscribe(Rang, lambda m: gate.wait(10), name="slow")
    bus.publish(Rang(at_us=0, number=0))
    with pytest.raises(Unavailable) as refused:
        bus.drain(timeout_s=0.01)
    assert refused.value.params["waiting"] == 1
    gate.set()


def test_cancelling_frees_a_waiting_publisher(bus, gate):
    subscription = bus.subscribe(Rang, lambda m: gate.wait(10), name="stuck", bound=1)
    thread = threading.Thread(target=lambda: [bus.publish(Rang(at_us=0, number=n)) for n in range(5)])
    thread.start()
    gate.set()
    subscription.cancel()
    thread.join(10)
    bus.drain()
    assert not thread.is_alive()


def test_what_waits_comes_in_one_list_and_a_bad_message_takes_no_other_with_it(bus, gate):
    seen, entered = [], threading.Event()

    def handle(messages):
        entered.set()
        gate.wait(10)
        seen.append([message.number for message in messages])
        assert 3 not in seen[-1]

    bus.subscribe(Rang, handle, name="lists", batch=True)
    bus.publish(Rang(at_us=0, number=0))
    assert entered.wait(10)
    for number in range(1, 5):
        bus.publish(Rang(at_us=0, number=number))
    gate.set()
    bus.drain()
    assert seen == [[0], [1, 2, 3, 4], [1], [2], [3], [4]]
    (status,) = bus.status()
    assert (status.delivered, status.failed, status.last_error, status.most_queued) == (4, 1, "AssertionError", 4)


def test_what_comes_soon_after_a_list_waits_for_the_next_one(bus):
    lists, handled = [], threading.Semaphore(0)

    def handle(messages):
        lists.append([one.number for one in messages])
        handled.release()

    bus.subscribe(Rang, handle, name="gathers", bound=4, batch=True, gather_s=3600)
    for number in range(5):
        bus.publish(Rang(at_us=0, number=number))
        if number == 0:
            assert handled.acquire(timeout=10)  # after a pause it goes at once
    assert handled.acquire(timeout=10)  # a full queue does not wait any longer: its publisher would
    assert lists == [[0], [1, 2, 3, 4]]


def test_what_is_gathered_comes_after_a_while(bus, gate):
    numbers = []

    def handle(messages):
        numbers.extend(one.number for one in messages)
        if len(numbers) == 3:
            gate.set()

    bus.subscribe(Rang, handle, name="gathers", batch=True, gather_s=0.02)
    for number in range(3):
        bus.publish(Rang(at_us=0, number=number))
    assert gate.wait(10)
    assert numbers == [0, 1, 2]


def test_a_direct_subscriber_has_handled_it_when_publish_returns(bus):
    seen = []

    def handle(message):
        seen.append((message.number, threading.current_thread()))
        assert message.number

    subscription = bus.subscribe(Rang, handle, name="direct", direct=True)
    bus.publish(Rang(at_us=0, number=1))
    assert seen == [(1, threading.current_thread())]
    bus.publish(Rang(at_us=0, number=0))
    assert (subscription.status().delivered, subscription.status().failed) == (1, 1)
    subscription.cancel()
    bus.publish(Rang(at_us=0, number=2))
    assert len(seen) == 2
