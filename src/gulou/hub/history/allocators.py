"""Gives memory back to the system, which merges leave in the allocators' hands."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa


def give_back() -> None:
    """Return what is free; some milliseconds. Without it a merge's peak stays with the process for good."""
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """Return glibc's ``malloc_trim``; None on other systems, whose allocators do it themselves or cannot."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
