"""Columns under ``kill -9``, with a follower beside the writer all the time: every acknowledged row comes once."""

import importlib.util
import random
import signal
import subprocess
import sys
from pathlib import Path

from gulou.connectivity.intake import Damage, FollowingApplier, LogFollower, LogInspector, SeriesCatalogue, expand

WRITER = Path(__file__).with_name("writer_of_columns.py")
_spec = importlib.util.spec_from_file_location("writer_of_columns", WRITER)
writer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writer)


class Keeper:
    """A consumer that keeps every row, and is durable at once."""

    name, takes_columns = "keeper", True

    def __init__(self):
        self.batches = []

    def position(self):
        return self.batches[-1].sequence if self.batches else 0

    def apply(self, batch):
        self.batches.append(batch)

    def checkpoint(self):
        pass


def write_until_killed(directory, first, answers):
    """Run the writer from a number on, kill it after so many answers; return (number, stored, rejected) of each."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(directory), str(first)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    lines = [process.stdout.readline() for _ in range(answers)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL
    return [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]


def test_a_follower_sees_every_acknowledged_row_once_through_kills_of_the_writer(tmp_path):
    chance, keeper = random.Random(7), Keeper()
    follower = LogFollower(tmp_path / "log", "test")
    series = SeriesCatalogue(tmp_path / "log" / "series", readonly=True)
    applier = FollowingApplier(follower, series, [keeper])
    applier.start()
    answered, first = [], 1
    for _ in range(4):
        answered += write_until_killed(tmp_path, first, chance.randint(20, 120))
        applier.settle(60)
        applier.tick(len(answered) * 10_000_000)
        first = max(number for number, _, _ in answered) - 10  # some were acknowledged, some only stored, some neither
    applier.stop()

    sequences = [batch.sequence for batch in keeper.batches]
    assert sequences == list(range(1, len(sequences) + 1))
    seen = {}
    for batch in keeper.batches:
        for reading in expand(batch, series).readings:
            assert (reading.entity_id, reading.observed_at_us) not in seen, "stored twice"
            seen[reading.entity_id, reading.observed_at_us] = reading.value
    for number, stored, rejected in answered:
        assert stored + rejected == writer.ROWS
        for index in range(writer.ROWS - 1):
            at_us = writer.FIRST_US + number * 1_000 + index
            assert seen[f"urn:x:{(number + index) % 50}", at_us] == number + index / 1_000
    named = {entity_id for entity_id, _ in seen}
    assert all(f"urn:x:new-{number}" in named for number, _, _ in answered)
    assert len(seen) == sum(batch.count for batch in keeper.batches)
    assert applier.status()["gap"] is None
    walked = LogInspector(tmp_path / "log").walk(records=False)
    assert [one for one in walked if isinstance(one, Damage)] == []
