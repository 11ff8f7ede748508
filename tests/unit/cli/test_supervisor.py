"""How long a part that has ended waits before it is started again."""

import time

from gulou.cli.orders import Report
from gulou.cli.supervisor import Child


def waits(report, times):
    child = Child("engine", lambda _descriptor: None, ())
    child.report = report
    found = []
    for _ in range(times):
        child._begun_s = time.monotonic()
        child._plan(-9)
        found.append(child._due_s - time.monotonic())
    return found


def test_a_part_that_never_gets_ready_waits_longer_each_time():
    first, *rest = waits(None, 7)
    assert first <= 0
    assert rest == sorted(rest)
    assert rest[-1] > 20


def test_a_part_that_could_work_is_soon_there_again_however_often_it_is_killed():
    assert max(waits(Report(is_ready=True), 7)) <= 0.5
