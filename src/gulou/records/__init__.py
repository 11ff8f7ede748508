"""Records: the relational store of everything that is not a reading (accounts, devices, warnings, incidents).

SQLite in WAL mode by default, PostgreSQL by a setting; the same tables and the same tests for both.
"""

from gulou.records.database import Database, metadata
from gulou.records.migrate import migrate
from gulou.records.prepared import Prepared, PreparedList, insert_new

__all__ = ["Database", "Prepared", "PreparedList", "insert_new", "metadata", "migrate"]
