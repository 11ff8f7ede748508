"""Keeps the collector of circular garbage away while very many rules are made."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections(*, freeze: bool = False) -> Iterator[None]:
    """Keep the collector from looking through very many new things, again and again, which would stop all threads.

    Args:
        freeze: never look at what is there in the end: it stays, and is no garbage.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if freeze:
                gc.freeze()
                atexit.register(gc.unfreeze)  # what is never looked at is never tidied up, and libraries complain of it
            gc.enable()
