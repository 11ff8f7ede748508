"""What is done by the clock: one part that fails, whatever it raises, is told of and keeps no other from its turn."""

import logging

from gulou.cli.platform import Ticker
from gulou.kernel import Conflict, VirtualClock


class Part:
    def __init__(self, *raises):
        self.told = []
        self.raises = list(raises)

    def tick(self, now_us):
        self.told.append(now_us)
        error = self.raises.pop(0) if self.raises else None
        if error is not None:
            raise error


def test_a_part_that_fails_is_counted_and_the_others_go_on(caplog):
    parts = {
        "before": Part(),
        "bad": Part(ZeroDivisionError(), KeyError("x"), Conflict("incident.closed")),
        "after": Part(),
    }
    ticker = Ticker(VirtualClock(5), parts)
    with caplog.at_level(logging.ERROR):
        ticker.tick()
    assert "timer.bad" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    ticker.tick()
    assert {one.part: one.problem for one in ticker.status()} == {"before": None, "bad": "KeyError", "after": None}
    ticker.tick()
    assert {one.part: one.problem for one in ticker.status()}["bad"] == "incident.closed"
    ticker.tick()
    assert [(one.part, one.done, one.failed, one.problem) for one in ticker.status()] == [
        ("before", 4, 0, None),
        ("bad", 1, 3, None),
        ("after", 4, 0, None),
    ]
    assert all(part.told == [5, 5, 5, 5] for part in parts.values())
