"""What every bus promises, tried on each implementation."""

import threading

import pytest

from gulou.connectivity.bus import InProcessBus, MemoryBus, Message, decode_message, encode_message, message_kinds
from gulou.kernel.errors import Invalid, Unavailable


class Rang(Message, frozen=True, kw_only=True):
    number: int


class RangLoudly(Rang, frozen=True, kw_only=True):
    pass


class Fell(Message, frozen=True, kw_only=True):
    pass


@pytest.fixture(params=[InProcessBus, MemoryBus])
def bus(request):
    bus = request.param()
    yield bus
    bus.close()


def test_each_subscriber_gets_each_message_of_its_type_in_order(bus):
    first, second, falls = [], [], []
    bus.subscribe(Rang, lambda m: first.append(m.number), name="first")
    bus.subscribe(Rang, lambda m: second.append(m.number), name="second")
    bus.subscribe(Fell, falls.append, name="falls")
    for number in range(500):
        bus.publish(Rang(at_us=0, number=number))
    bus.drain()
    assert first == second == list(range(500))
    assert falls == []


def test_a_subscription_includes_subtypes(bus):
    seen = []
    bus.subscribe(Rang, seen.append, name="all")
    bus.publish(RangLoudly(at_us=1, number=7))
    bus.drain()
    assert seen == [RangLoudly(at_us=1, number=7)]


def test_a_handler_that_raises_is_counted_and_gets_the_next_message(bus, caplog):
    seen = []

    def handle(message):
        seen.append(message.number)
        [][message.number == 1 or 5]

    bus.subscribe(Rang, handle, name="clumsy")
    bus.subscribe(Rang, lambda m: None, name="fine")
    bus.publish(Rang(at_us=0, number=1))
    bus.publish(Rang(at_us=0, number=2))
    bus.drain()
    status = {s.name: s for s in bus.status()}
    assert seen == [1, 2]
    assert (status["clumsy"].failed, status["clumsy"].last_error) == (2, "IndexError")
    assert (status["fine"].delivered, status["fine"].failed) == (2, 0)
    assert "clumsy" in caplog.text


def test_drain_waits_for_what_handlers_publish(bus):
    seen = []

    def echo(message):
        replies = [Rang(at_us=0, number=n) for n in range(message.number - 1, max(message.number - 2, -1), -1)]
        seen.append(message.number)
        for reply in replies:
            bus.publish(reply)

    bus.subscribe(Rang, echo, name="echo")
    bus.publish(Rang(at_us=0, number=50))
    bus.drain()
    assert seen == list(range(50, -1, -1))


def test_order_holds_for_every_subscriber_when_a_handler_publishes(bus):
    late = []
    bus.subscribe(Rang, lambda m: [bus.publish(Rang(at_us=0, number=9)) for _ in range(m.number == 1)], name="early")
    bus.subscribe(Rang, lambda m: late.append(m.number), name="late")
    bus.publish(Rang(at_us=0, number=1))
    bus.drain()
    assert late == [1, 9]


def test_a_cancelled_subscription_gets_nothing_more(bus):
    seen = []
    subscription = bus.subscribe(Rang, seen.append, name="brief")
    subscription.cancel()
    bus.publish(Rang(at_us=0, number=1))
    bus.drain()
    assert seen == []
    assert bus.status() == []


def test_a_handler_may_cancel_itself(bus):
    seen = []
    holder = {}

    def once(message):
        seen.append(message.number)
        holder["subscription"].cancel()

    holder["subscription"] = bus.subscribe(Rang, once, name="once")
    for number in range(3):
        bus.publish(Rang(at_us=0, number=number))
    bus.drain()
    assert seen[:1] == [0]
    assert len(seen) == 1


def test_a_closed_bus_takes_no_subscribers(bus):
    bus.close()
    with pytest.raises(Unavailable) as refused:
        bus.subscribe(Rang, print, name="late")
    assert refused.value.code == "bus.closed"


def test_publishers_on_many_threads_lose_nothing(bus):
    seen = []
    bus.subscribe(Rang, lambda m: seen.append(m.number), name="all", bound=10)
    threads = [
        threading.Thread(target=lambda base=base: [bus.publish(Rang(at_us=0, number=base + i)) for i in range(200)])
        for base in (0, 1000, 2000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bus.drain()
    assert sorted(seen) == [base + i for base in (0, 1000, 2000) for i in range(200)]


def test_lists_hold_everything_in_order(bus):
    lists = []
    bus.subscribe(Rang, lists.append, name="lists", batch=True)
    for number in range(500):
        bus.publish(Rang(at_us=0, number=number))
    bus.drain()
    assert [one.number for some in lists for one in some] == list(range(500))
    assert bus.status()[0].delivered == 500
    assert bus.status()[0].batches == len(lists)


def test_whoever_would_gather_can_ask_whether_anybody_hears(bus):
    assert not bus.hears(RangLoudly)
    subscription = bus.subscribe(Rang, print, name="all")
    assert bus.hears(RangLoudly)
    assert not bus.hears(Fell)
    subscription.cancel()
    assert not bus.hears(Rang)


def test_a_message_goes_to_another_process_and_an_unknown_one_is_refused():
    message = RangLoudly(at_us=5, number=7)
    assert decode_message(encode_message(message)) == message
    assert message_kinds()[f"{__name__}.Rang"] is Rang
    for data in (
        b"",
        encode_message(message)[:-1],
        b"\x92\xa4none\x80",
        b"\x92" + encode_message(message)[1:-1] + b"\xa1x",
    ):
        with pytest.raises(Invalid) as refused:
            decode_message(data)
        assert refused.value.code == "bus.message_unknown"
