"""The one place where a handler is called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gulou.connectivity.bus.ports import Message

_log = logging.getLogger(__name__)


def deliver(name: str, handler: Callable[[Any], Any], message: Message) -> str | None:
    """Call the handler; return the type name of what it raised, or None."""
    try:
        handler(message)
    except Exception as error:  # a subscriber's defect must not take the others' messages away
        _log.exception("bus subscriber %s failed on %s", name, type(message).__name__)
        return type(error).__name__
    return None
