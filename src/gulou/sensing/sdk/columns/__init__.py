"""Kernels for adapters that read numbers straight from bytes into columns; what is "not mine" goes the general way.

``find_key``, ``hash_bytes``, ``parse_number`` and ``parse_rfc3339`` may be called from other compiled kernels.
"""

from gulou.sensing.sdk.columns.numbers import NOT_MINE, parse_number
from gulou.sensing.sdk.columns.table import BYTES, NOT_FOUND, SLOTS, ByteTable, find_key, hash_bytes
from gulou.sensing.sdk.columns.times import NOT_A_TIME, parse_rfc3339

__all__ = [
    "BYTES",
    "NOT_A_TIME",
    "NOT_FOUND",
    "NOT_MINE",
    "SLOTS",
    "ByteTable",
    "find_key",
    "hash_bytes",
    "parse_number",
    "parse_rfc3339",
]
