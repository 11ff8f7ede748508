"""How long a part that has ended waits before it is started again."""

import os
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


def test_a_part_that_served_devices_before_it_was_ready_is_soon_there_again():
    ours, theirs = os.pipe()
    child = Child("engine", lambda _descriptor: None, ())
    child._reports = os.fdopen(ours, "rb", buffering=0)
    Report(is_ready=False, is_serving=True).send(theirs)

    assert not child.read_report()
    assert child.report is None
    child._soon = 7
    child._plan(-9)
    assert child._due_s - time.monotonic() <= 0.5

    Report(is_ready=True, mqtt_port=1883).send(theirs)
    assert child.read_report()
    assert child.report == Report(is_ready=True, mqtt_port=1883)
    os.close(theirs)


def test_two_reports_that_come_together_are_both_read():
    ours, theirs = os.pipe()
    child = Child("engine", lambda _descriptor: None, ())
    child._reports = os.fdopen(ours, "rb", buffering=0)
    Report(is_ready=False, is_serving=True).send(theirs)
    Report(is_ready=True).send(theirs)

    assert [child.read_report(), child.read_report()] == [False, True]
    os.close(theirs)
