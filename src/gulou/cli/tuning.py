"""The interpreter's knobs, for processes that live long."""

from __future__ import annotations

import atexit
import gc
import sys
import time

_SWITCH_S = 0.0001
_COLLECT_AT = (10_000, 20, 20)
_LONG_S = 0.005


def tune_interpreter() -> None:
    """Set the interpreter up for a process of many threads that each do little at a time.

    A thread that comes back from the disk or a socket waits a switch interval for every one that computes: at the
    usual 5 ms a command's way through the record store would take ten of them. What the start has made stays until
    the end: the garbage collector need not look at it again (not even once: with a million devices that takes a second,
    in which nobody is answered), and need not look at young objects so often.
    What comes later in great numbers and stays, a city's devices say, it looks at once: see ``_Collections``.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.freeze()
    atexit.register(gc.unfreeze)  # the end tidies up only what the collector may see; libraries complain of the rest
    gc.set_threshold(*_COLLECT_AT)
    gc.callbacks.append(_Collections().note)


class _Collections:
    """Sets aside what a long collection has found alive, so that no other has to look at it again.

    All threads stand still in a collection. One takes long only when much that stays has been made since the last;
    what of that later dies in cycles stays in memory, and everything else is freed by its count of references.
    """

    def __init__(self) -> None:
        self._begun_s = 0.0

    def note(self, phase: str, info: dict[str, int]) -> None:
        """Take the collector's word that a collection begins or ends."""
        if phase == "start":
            self._begun_s = time.perf_counter()
        elif info["generation"] and time.perf_counter() - self._begun_s > _LONG_S:
            gc.freeze()
