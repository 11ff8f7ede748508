"""Whatever is sent, dropped, checkpointed and crashed, in any order: the accounts are those of a simple model."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import Flaw, RejectQuery

sent = st.tuples(
    st.just("send"),
    st.sampled_from(["a", "b"]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.sampled_from([1.0, 2.0, 99.0])), max_size=5),
    st.integers(0, 2),
    st.one_of(st.none(), st.integers(1, 6)),
)
dropped = st.tuples(st.just("drop"), st.sampled_from(["a", "b"]), st.integers(1, 5))
others = st.tuples(st.sampled_from(["crash", "stop", "tick"]))


class Model:
    """Knows every reading that was ever stored, and counts."""

    def __init__(self):
        self.known, self.positions = {}, {}
        self.counts = {source: {"stored": 0, "rejected": 0, "dropped": 0} for source in "ab"}

    def send(self, source, readings, flaws, position):
        if position is not None and position <= self.positions.get(source, 0):
            return (0, 0)
        self.positions[source] = position or self.positions.get(source, 0)
        stored = 0
        for entity, second, value in readings:
            key = (entity, second)
            news = value <= 30 and self.known.get(key) != value
            self.known |= {key: value} if news else {}
            stored += news
        self.counts[source]["stored"] += stored
        self.counts[source]["rejected"] += len(readings) - stored + flaws
        return (stored, len(readings) - stored + flaws)


class Run:
    def __init__(self, kit):
        self.kit, self.model, self.service = kit, Model(), None
        self.start()

    def start(self):
        self.consumer = self.kit.Collector()
        self.service = self.kit.start(self.consumer)

    def send(self, source, readings, flaws, position):
        made = [self.kit.reading(second, value, f"e{entity}") for entity, second, value in readings]
        submission = self.kit.submission(
            *made, source=source, flaws=[Flaw("payload.malformed")] * flaws, origin=source, position=position
        )
        receipt = self.service.submit(submission).result(10)
        assert (receipt.stored, receipt.rejected) == self.model.send(source, readings, flaws, position)

    def drop(self, source, count):
        self.service.drop(source, count, "test")
        self.service.settle(10)
        self.model.counts[source]["dropped"] += count

    def tick(self):
        self.kit.clock.advance(10)
        self.service.tick(self.kit.clock.now_us())

    def crash(self):
        self.service.settle(10)  # what a crash would leave: the log; a second service starts on it
        gone = self.service._applier
        gone._consumers = ()  # a checkpoint that was asked for and not begun never comes
        gone.stop(10)
        self.start()

    def stop(self):
        self.service.stop()
        self.start()

    def check(self):
        self.service.settle(10)
        for source, counts in self.model.counts.items():
            account = self.kit.ledger.account(source)
            found = {"stored": account.stored, "rejected": account.rejected, "dropped": account.dropped}
            assert found == counts
            assert account.received == sum(counts.values())
        assert self.kit.rejects.list_rejected(RejectQuery()).total == sum(
            counts["rejected"] for counts in self.model.counts.values()
        )


def test_the_accounts_are_those_of_the_model(make_kit):
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(sent, dropped, others), max_size=12))
    def check(steps):
        with tempfile.TemporaryDirectory() as directory:
            kit = make_kit(Path(directory))
            run = Run(kit)
            for name, *arguments in steps:
                getattr(run, name)(*arguments)
            run.check()
            kit.close()

    check()
