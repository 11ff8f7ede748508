"""Compiled kernels where numba is at hand; the same functions in plain Python where it is not."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

_log = logging.getLogger(__name__)
_LONG_S = 3.0

F = TypeVar("F", bound=Callable[..., Any])

try:
    if os.environ.get("GULOU_COMPILED", "1") == "0":
        raise ImportError
    import numba

    COMPILED = True
except ImportError:
    COMPILED = False


def compiled(*signatures: str, makes_arrays: bool = False) -> Callable[[F], F]:
    """Compile a function over arrays and numbers, without the interpreter's lock, and keep the machine code on disk.

    With signatures (``"int64(uint8[::1], int64)"``) it is compiled, or read from disk, when its module is imported, so
    that the first call waits for nothing. Without numba, or with ``GULOU_COMPILED=0``, the function stays as it is:
    same results, slower. Only what both understand alike may stand in it: no objects, no exceptions, explicit widths.

    Args:
        makes_arrays: it makes arrays of its own. The others are compiled without numba's memory management: counting
            references to arrays at each call within a kernel costs more than much of what kernels do.
    """

    def decorate(function: F) -> F:
        if not COMPILED:
            return function
        wanted = list(signatures) if signatures else None
        begun = time.perf_counter()
        options: dict[str, Any] = {"cache": True, "nogil": True, "boundscheck": False, "_nrt": makes_arrays}
        made = numba.njit(wanted, **options)(function)
        if made.stats.cache_misses:  # read from disk it may take as long where the machine is busy
            _tell(time.perf_counter() - begun)
        return cast(F, made)

    return decorate


def _tell(took_s: float) -> None:
    """Say once why a first start takes long; ``make setup`` compiles beforehand."""
    global _told  # noqa: PLW0603
    if took_s > _LONG_S and not _told:
        _told = True
        _log.warning("compiling for this machine: half a minute, this once")


_told = False
