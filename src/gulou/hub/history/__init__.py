"""What was: every reading, in a Delta table on disk joined with the newest in memory; ranges and aggregates."""

from gulou.hub.history.conversion import convert_history
from gulou.hub.history.memory import MemoryHistory
from gulou.hub.history.model import (
    DEFAULT_INSTANCE,
    FUNCTIONS,
    AggregateQuery,
    Bucket,
    Function,
    HistoryQuery,
    HistoryRow,
)
from gulou.hub.history.ports import History
from gulou.hub.history.service import HistoryService
from gulou.hub.history.settings import HistorySettings

__all__ = [
    "DEFAULT_INSTANCE",
    "FUNCTIONS",
    "AggregateQuery",
    "Bucket",
    "Function",
    "History",
    "HistoryQuery",
    "HistoryRow",
    "HistoryService",
    "HistorySettings",
    "MemoryHistory",
    "convert_history",
]
