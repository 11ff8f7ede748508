"""Intake: the one door for readings, the durable log, the ledger and the rejects."""

from gulou.connectivity.intake.applier import ConsumerStatus
from gulou.connectivity.intake.ledger import Ledger
from gulou.connectivity.intake.log_memory import MemoryLog
from gulou.connectivity.intake.log_segments import SegmentLog
from gulou.connectivity.intake.model import (
    Account,
    Flaw,
    LogBatch,
    OriginAccount,
    Payload,
    Reading,
    Receipt,
    Rejected,
    RejectPage,
    RejectQuery,
    Submission,
    Value,
)
from gulou.connectivity.intake.ports import (
    Checks,
    DeviceGate,
    Intake,
    LedgerPort,
    LogConsumer,
    ReadingLog,
    RejectStore,
)
from gulou.connectivity.intake.positions import load_position, save_position
from gulou.connectivity.intake.rejects_sql import SqlRejectStore
from gulou.connectivity.intake.service import IntakeService
from gulou.connectivity.intake.settings import IntakeSettings, LedgerSettings, LogSettings

__all__ = [
    "Account",
    "Checks",
    "ConsumerStatus",
    "DeviceGate",
    "Flaw",
    "Intake",
    "IntakeService",
    "IntakeSettings",
    "Ledger",
    "LedgerPort",
    "LedgerSettings",
    "LogBatch",
    "LogConsumer",
    "LogSettings",
    "MemoryLog",
    "OriginAccount",
    "Payload",
    "Reading",
    "ReadingLog",
    "Receipt",
    "RejectPage",
    "RejectQuery",
    "RejectStore",
    "Rejected",
    "SegmentLog",
    "SqlRejectStore",
    "Submission",
    "Value",
    "load_position",
    "save_position",
]
