"""Intake: the one door for readings, the durable log, the ledger and the rejects."""

from gulou.connectivity.intake.model import (
    Account,
    Flaw,
    LogBatch,
    Payload,
    Reading,
    Receipt,
    Rejected,
    Submission,
    Value,
)
from gulou.connectivity.intake.ports import Intake, LogConsumer, ReadingLog

__all__ = [
    "Account",
    "Flaw",
    "Intake",
    "LogBatch",
    "LogConsumer",
    "Payload",
    "Reading",
    "ReadingLog",
    "Receipt",
    "Rejected",
    "Submission",
    "Value",
]
