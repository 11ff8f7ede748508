"""Intake: the one door for readings, the durable log, the ledger and the rejects."""

from gulou.connectivity.intake.applier import ConsumerStatus
from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.expansion import expand, reading_at
from gulou.connectivity.intake.following import FollowingApplier
from gulou.connectivity.intake.ledger import Ledger
from gulou.connectivity.intake.log_follower import LogFollower
from gulou.connectivity.intake.log_inspection import (
    Damage,
    LogInspector,
    SeenHead,
    SeenReader,
    SeenRecord,
    SeenSegment,
)
from gulou.connectivity.intake.log_memory import MemoryLog
from gulou.connectivity.intake.log_readers import ReaderPosition
from gulou.connectivity.intake.log_segments import SegmentLog
from gulou.connectivity.intake.model import (
    Account,
    ColumnSubmission,
    Flaw,
    LogBatch,
    OriginAccount,
    Payload,
    RawOf,
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
    LogReader,
    ReadingLog,
    RejectStore,
)
from gulou.connectivity.intake.positions import load_position, save_position
from gulou.connectivity.intake.rejects_sql import SqlRejectStore
from gulou.connectivity.intake.sealing import LogKeys
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.connectivity.intake.series_rows import Series
from gulou.connectivity.intake.service import IntakeService
from gulou.connectivity.intake.settings import IntakeSettings, LedgerSettings, LogSettings

__all__ = [
    "Account",
    "Checks",
    "ColumnSubmission",
    "Columns",
    "ConsumerStatus",
    "Damage",
    "DeviceGate",
    "Flaw",
    "FollowingApplier",
    "Intake",
    "IntakeService",
    "IntakeSettings",
    "Ledger",
    "LedgerPort",
    "LedgerSettings",
    "LogBatch",
    "LogConsumer",
    "LogFollower",
    "LogInspector",
    "LogKeys",
    "LogReader",
    "LogSettings",
    "MemoryLog",
    "OriginAccount",
    "Payload",
    "RawOf",
    "ReaderPosition",
    "Reading",
    "ReadingLog",
    "Receipt",
    "RejectPage",
    "RejectQuery",
    "RejectStore",
    "Rejected",
    "SeenHead",
    "SeenReader",
    "SeenRecord",
    "SeenSegment",
    "SegmentLog",
    "Series",
    "SeriesCatalogue",
    "SqlRejectStore",
    "Submission",
    "Value",
    "expand",
    "load_position",
    "reading_at",
    "save_position",
]
