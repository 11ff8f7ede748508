"""Acknowledged = stored, by count and by content, through the real log, over kill -9."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gulou.hub.history import AggregateQuery, HistoryQuery

from .hub_child import SIZE, SUBMISSIONS, Hub

pytestmark = pytest.mark.integration

CHILD = Path(__file__).with_name("hub_child.py")


def check(directory, acknowledged):
    hub = Hub(directory)
    hub.intake.settle()
    rows = hub.history.query(HistoryQuery())
    stored = hub.intake.position_of("file")
    assert stored in {acknowledged, acknowledged + 1}  # the answer to the last one may have died with the child
    assert [row.value for row in rows] == [number / 1000 for number in range(1, stored + 1) for _ in range(SIZE)]
    assert {hub.context.get_entity(row.entity_id).plain("waterLevel") for row in rows} == {stored / 1000}
    counts = hub.history.aggregate(AggregateQuery(function="count", every="1y", by="id"))
    assert [bucket.count for bucket in counts] == [stored] * SIZE
    hub.close()


def test_acknowledged_is_stored_over_kills(tmp_path):
    chance, directory, acknowledged = random.Random(5), tmp_path / "city", 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, str(CHILD), str(directory)], stdout=subprocess.PIPE, text=True)
        acknowledged = int(child.stdout.readline())
        time.sleep(chance.uniform(0.05, 0.6))  # not a synchronisation: the moment of death is meant to be arbitrary
        child.send_signal(signal.SIGKILL)
        whole = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        child.wait()
        acknowledged = int(whole[-1]) if whole else acknowledged
        check(directory, acknowledged)
    finished = subprocess.run([sys.executable, str(CHILD), str(directory)], capture_output=True, text=True, check=True)
    assert finished.stdout.split()[-1] == str(SUBMISSIONS)
    check(directory, SUBMISSIONS)
