"""The interpreter's knobs, for processes that live long."""

from __future__ import annotations

import atexit
import gc
import sys

_SWITCH_S = 0.0005
_COLLECT_AT = (10_000, 20, 20)


def tune_interpreter() -> None:
    """Set the interpreter up for a process of many threads that each do little at a time.

    A thread that comes back from the disk or a socket waits a switch interval for every one that computes: at the
    usual 5 ms a command's way through the record store would take ten of them. What the start has made stays until
    the end: the garbage collector need not look at it again, and need not look at young objects so often.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # the end tidies up only what the collector may see; libraries complain of the rest
    gc.set_threshold(*_COLLECT_AT)
