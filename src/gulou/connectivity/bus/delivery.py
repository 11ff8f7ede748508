"""The one place where a consumer is called and its defects are kept from the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gulou.kernel.errors import GulouError

_log = logging.getLogger(__name__)


def deliver(name: str, handler: Callable[[Any], Any], message: object) -> str | None:
    """Call a consumer; return the code or type name of what it raised, or None.

    The bus calls its subscribers by it, and the intake the consumers of the log.
    """
    try:
        handler(message)
    except Exception as error:  # a consumer's defect must not take the others' messages away
        _log.exception("consumer %s failed on %s", name, type(message).__name__)
        return error.code if isinstance(error, GulouError) else type(error).__name__
    return None


def deliver_all(name: str, handler: Callable[[Any], Any], messages: list[Any]) -> list[str]:
    """Call a consumer of lists; after a failure once more, with each message alone. Return what went wrong then."""
    error = deliver(name, handler, messages)
    if error is None or len(messages) == 1:
        return [] if error is None else [error]
    errors = (deliver(name, handler, [message]) for message in messages)
    return [one for one in errors if one is not None]
