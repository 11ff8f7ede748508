"""The first promise under ``kill -9``: what was acknowledged is there, by count and by content, and nothing twice."""

import importlib.util
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gulou.connectivity.intake import RejectQuery
from gulou.connectivity.intake.record import decode_record

WRITER = Path(__file__).with_name("writer.py")
_spec = importlib.util.spec_from_file_location("intake_writer", WRITER)
writer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(writer)


def write_until_killed(directory, acknowledgements):
    """Run the writer, kill it after so many acknowledged submissions; return all that it acknowledged."""
    process = subprocess.Popen([sys.executable, str(WRITER), str(directory)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    lines = [process.stdout.readline() for _ in range(acknowledgements)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL
    return [msgspec.json.decode(line) for line in lines if line.endswith(b"\n")]


class Copy:
    """A consumer without a store: whatever is left in the log comes to it."""

    name = "copy"

    def __init__(self, position):
        self.batches, self._position = {}, position

    def position(self):
        return self._position

    def apply(self, batch):
        self.batches[batch.sequence] = batch

    def checkpoint(self):
        pass


def log_by_position(log):
    """Return the submissions in the log by number: readings and number of rejects."""
    found = {}
    for sequence, data in log.read_from(log.first_sequence()):
        record, _ = decode_record(sequence, data)
        assert record.position not in found
        found[record.position] = (record.readings, len(record.rejected))
    return found


def expected(number):
    made = writer.submission(number)
    return made.payloads[0].readings, len(made.payloads[0].flaws)


@pytest.mark.integration
@pytest.mark.parametrize("seed", [1, 2])
def test_acknowledged_is_stored_through_three_kills(tmp_path, seed):
    chance = random.Random(seed)
    acknowledged = []
    for _ in range(3):
        acknowledged += write_until_killed(tmp_path, chance.randint(1, 1_500))
    numbers = [line["number"] for line in acknowledged]
    assert len(numbers) == len(set(numbers))

    service, log, ledger, rejects, database = writer.build(tmp_path)
    copy = Copy(log.first_sequence() - 1)
    service.add_consumer(copy)
    service.start()

    in_log = log_by_position(log)
    assert in_log == {number: expected(number) for number in in_log}
    first_kept, last = min(in_log), max(in_log)
    assert set(in_log) == set(range(first_kept, last + 1))
    assert max(numbers) <= last
    assert service.position_of("file") == last

    stored = sum(len(expected(number)[0]) for number in range(1, last + 1))
    rejected = sum(expected(number)[1] for number in range(1, last + 1))
    total = ledger.total()
    assert (total.stored, total.rejected, total.received) == (stored, rejected, stored + rejected)
    assert rejects.list_rejected(RejectQuery(limit=1)).total == rejected
    assert ledger.origin("file").account.received == stored + rejected
    assert [len(batch.readings) for batch in copy.batches.values()] == [len(in_log[n][0]) for n in sorted(in_log)]
    service.stop()
    log.close()
    database.close()
