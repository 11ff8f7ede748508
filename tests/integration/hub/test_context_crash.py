"""A context that is killed at any moment keeps every direct write, and has the log's values again after replay."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .context_child import BATCHES, SIZE, make_batch, open_context

pytestmark = pytest.mark.integration

CHILD = Path(__file__).with_name("context_child.py")


def test_kill_between_save_and_write_keeps_what_was_answered(tmp_path):
    chance = random.Random(11)
    last_position = 0
    for _ in range(5):
        child = subprocess.Popen([sys.executable, str(CHILD), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        first = child.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.4))  # not a synchronisation: the moment of death is meant to be arbitrary
        child.send_signal(signal.SIGKILL)
        answered = [
            int(line) for line in [first, *child.stdout.read().splitlines(keepends=True)] if line.endswith("\n")
        ]
        child.wait()
        context = open_context(tmp_path)
        assert all(context.get_entity(pump).plain("note") >= note for pump, note in last_of_each(answered).items())
        assert context.position() >= last_position
        last_position = context.position()
        for sequence in range(last_position + 1, BATCHES + 1):
            context.apply(make_batch(sequence))
        for name in ("power", "flow"):
            assert {context.get_entity(one).plain(name) for one in ids()} == {float(BATCHES)}


def ids():
    return [f"urn:ngsi-ld:Pump:{n}" for n in range(SIZE)]


def last_of_each(answered):
    """Of several writes to one pump the last counts."""
    return {f"urn:ngsi-ld:Pump:{note % SIZE}": note for note in answered}
