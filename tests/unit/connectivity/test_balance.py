"""The running check that the accounts hold: silent while they do, an alarm when a reading got lost."""

from __future__ import annotations

import pytest

from gulou.connectivity.intake import Flaw, IntakeService, Ledger, MemoryLog, Payload, Reading, Submission
from gulou.kernel.clock import VirtualClock
from gulou.records import Database

NOW = 1_780_000_000_000_000


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        return value


class Forgetful(Ledger):
    """Loses a reading of each batch while told to."""

    loses = False

    def apply(self, batch):
        super().apply(batch)
        if self.loses:
            self._source(batch.source).stored -= 1


@pytest.fixture
def house(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW)
    ledger = Forgetful(database, clock)
    intake = IntakeService(MemoryLog(), Checks(), clock, ledger)
    intake.start()
    yield intake, ledger
    intake.stop()
    database.close()


def send(intake, second):
    reading = Reading("urn:ngsi-ld:Pump:a", "Pump", "power", 1.0, NOW + second)
    payload = Payload(b"raw", "topic", (reading, reading), (Flaw("payload.broken"),))
    intake.submit(Submission("mqtt", "mqtt/1", (payload,))).result(5)


def quiet(intake):
    intake.settle()
    intake.tick(NOW)
    intake.settle()
    intake.tick(NOW + 1)
    return intake.status()["accounting"]


def test_while_it_holds_nothing_is_said(house):
    intake, _ = house
    for second in range(5):
        send(intake, second)
    intake.drop("mqtt", 7, "queue_full")
    state = quiet(intake)
    assert state == {"holds": True, "checked_at_us": NOW + 1, "differences": []}


def test_a_lost_reading_raises_the_alarm_and_its_return_ends_it(house, caplog):
    intake, ledger = house
    send(intake, 1)
    intake.settle()
    ledger.loses = True
    send(intake, 2)
    state = quiet(intake)
    assert state["holds"] is False
    assert state["differences"] == [
        {
            "source": "mqtt",
            "seen": {"received": 6, "stored": 2, "rejected": 4, "dropped": 0},
            "booked": {"received": 6, "stored": 1, "rejected": 4, "dropped": 0},
        }
    ]
    assert "do not balance" in caplog.text
    ledger._source("mqtt").stored += 1
    assert quiet(intake)["holds"] is True


def test_accounts_from_before_the_start_are_taken_as_given(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock, log = VirtualClock(NOW), MemoryLog()
    for start in range(2):
        intake = IntakeService(log, Checks(), clock, Ledger(database, clock))
        intake.start()
        send(intake, start)
        assert quiet(intake)["holds"] is True
        intake.stop()
    database.close()
