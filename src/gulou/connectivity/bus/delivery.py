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
