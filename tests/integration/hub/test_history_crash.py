"""A history that is killed at any moment has every reading once, and goes on."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings
from gulou.kernel.clock import SystemClock

pytestmark = pytest.mark.integration

BATCHES, SIZE, T0 = 150, 25, 1_740_787_200_000_000
CHILD = Path(__file__).with_name("history_child.py")


def feed_until_killed(directory, seconds):
    child = subprocess.Popen([sys.executable, str(CHILD), str(directory)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "open\n"
    time.sleep(seconds)  # not a synchronisation: the moment of death is meant to be arbitrary
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.wait()
    return "done" in rest


def test_kill_between_flush_and_checkpoint_neither_loses_nor_doubles(tmp_path):
    chance = random.Random(7)
    positions = []
    for _ in range(6):
        feed_until_killed(tmp_path, chance.uniform(0.02, 0.5))
        history = HistoryService(tmp_path, SystemClock(), HistorySettings(background=False))
        rows = history.query(HistoryQuery())
        position = history.position()
        total = history.aggregate(AggregateQuery(function="sum", every="1d", id_glob="*"))
        history.close()
        assert sum(bucket.value for bucket in total) == sum(range(position * SIZE))
        assert len(rows) == position * SIZE
        assert len({(row.entity_id, row.observed_at_us) for row in rows}) == len(rows)
        positions.append(position)
    assert positions == sorted(positions)
    finished = subprocess.run([sys.executable, str(CHILD), str(tmp_path)], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["open", "done"]
    history = HistoryService(tmp_path, SystemClock(), HistorySettings(background=False))
    rows = history.query(HistoryQuery())
    total = history.aggregate(AggregateQuery(function="sum", every="1y"))
    history.close()
    assert [row.value for row in rows] == [float(n) for n in range(BATCHES * SIZE)]
    assert total[0].value == sum(range(BATCHES * SIZE))
