"""Readings are taken while consumers bring back what they need; what they lack comes first, and in order."""

import threading

import pytest

from gulou.connectivity.intake import IntakeService, Ledger
from gulou.kernel.errors import Fault, Unavailable


def make_slow(kit, name="slow", position=0):
    """A consumer that brings back its state when told to go on."""

    class Slow(kit.Collector):
        def __init__(self):
            super().__init__(name, position)
            self.may_go_on, self.told = threading.Event(), []

        def prepare(self, last_sequence):
            self.may_go_on.wait(20)
            self.told.append((last_sequence, len(self.batches)))

    return Slow()


def fill(kit, count):
    service = kit.start()
    for second in range(count):
        service.submit(kit.submission(kit.reading(second))).result(10)
    service.settle(10)
    service.stop(10)


def values(consumer):
    return [one.observed_at_us for one in consumer.readings()]


def test_what_comes_while_a_consumer_prepares_is_durable_and_applied_after_the_replay(kit):
    fill(kit, 3)
    slow, other = make_slow(kit), kit.Collector("other")
    service = kit.start(slow, other, waits=False)

    receipt = service.submit(kit.submission(kit.reading(3), kit.reading(4))).result(10)

    assert (receipt.sequence, receipt.stored) == (4, 2)
    assert not slow.batches
    assert not other.batches
    slow.may_go_on.set()
    service.settle(10)
    assert slow.told == [(3, 0)]
    assert [one.sequence for one in slow.batches] == [one.sequence for one in other.batches] == [1, 2, 3, 4]
    assert values(slow) == [kit.reading(second).observed_at_us for second in range(5)]


def test_a_reading_from_before_is_known_again_at_once(kit):
    fill(kit, 2)
    slow = make_slow(kit)
    service = kit.start(slow, waits=False)

    receipt = service.submit(kit.submission(kit.reading(1), kit.reading(7))).result(10)

    assert (receipt.stored, receipt.rejected) == (1, 1)  # the accounts and the memory of duplicates wait for nobody
    slow.may_go_on.set()
    service.settle(10)
    total = kit.ledger.total()
    assert (total.received, total.stored, total.rejected) == (4, 3, 1)


def test_an_origin_goes_on_where_it_was_although_others_are_not_there_yet(kit):
    first = kit.start()
    first.submit(kit.submission(kit.reading(1), origin="file:a", position=41)).result(10)
    kit.running.remove(first)  # it ends without a checkpoint
    slow = make_slow(kit)
    service = kit.start(slow, waits=False)

    assert service.position_of("file:a") == 41
    slow.may_go_on.set()


def test_settling_waits_for_the_replay(kit):
    fill(kit, 2)
    slow = make_slow(kit)
    service = kit.start(slow, waits=False)

    with pytest.raises(Unavailable) as waited:
        service.settle(0.05)
    assert waited.value.code == "intake.not_settled"
    slow.may_go_on.set()
    service.settle(10)
    assert len(slow.batches) == 2


def test_a_stop_in_the_middle_loses_nothing(kit):
    fill(kit, 3)
    slow, other = make_slow(kit), kit.Collector("other")
    service = kit.start(slow, other, waits=False)
    service.submit(kit.submission(kit.reading(3))).result(10)
    threading.Timer(0.2, slow.may_go_on.set).start()
    service.stop(10)
    kit.running.remove(service)
    assert [one.sequence for one in other.batches] == sorted({one.sequence for one in other.batches})

    again = kit.start(other)
    again.settle(10)
    assert [one.sequence for one in other.batches] == [1, 2, 3, 4]


def test_a_consumer_that_cannot_come_back_closes_the_door(kit):
    fill(kit, 1)

    class Damaged(kit.Collector):
        def prepare(self, last_sequence):
            raise Fault("log.damaged", file="states", offset=0, sequence=0)

    service = kit.start(Damaged("damaged"), waits=False)

    with pytest.raises(Fault):
        service.await_replay()
    with pytest.raises(Unavailable) as refused:
        service.submit(kit.submission(kit.reading(5)))
    assert refused.value.code == "intake.stopped"
    kit.running.remove(service)


def test_the_log_keeps_what_is_not_replayed_yet(kit):
    fill(kit, 3)
    slow = make_slow(kit)
    service = kit.start(slow, waits=False)
    service.tick(kit.now_us + 10_000_000)

    assert kit.log.first_sequence() == 1
    slow.may_go_on.set()
    service.settle(10)


def test_a_stop_before_the_replay_has_begun_leaves_everything_to_the_next_start(kit):
    fill(kit, 2)
    other = kit.Collector("other")
    service = IntakeService(
        kit.log, kit.vocabulary(), kit.clock, Ledger(kit.database, kit.clock), consumers=(other,), settings=kit.settings
    )
    service.start(waits=False)
    receipt = service.submit(kit.submission(kit.reading(2))).result(10)
    service.stop(10)
    assert receipt.stored == 1
    assert not other.batches

    kit.start(other).settle(10)
    assert [one.sequence for one in other.batches] == [1, 2, 3]
