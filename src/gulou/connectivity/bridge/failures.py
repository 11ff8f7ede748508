"""Errors on their way from one process to the other: the same class, code and parameters come out."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from gulou.connectivity.bridge.frames import Refusal
from gulou.kernel.errors import Conflict, Denied, Fault, GulouError, Invalid, NotFound, Unavailable

_log = logging.getLogger(__name__)
_KINDS: dict[str, type[GulouError]] = {
    kind.__name__: kind for kind in (Invalid, NotFound, Conflict, Denied, Unavailable, Fault)
}


def to_refusal(call_id: int, error: BaseException, what: str) -> Refusal:
    """Describe what a call has raised; a defect becomes a Fault, and its story goes to this process's log."""
    if isinstance(error, GulouError):
        kind = next((one for one in type(error).__mro__ if one.__name__ in _KINDS), Fault)
        return Refusal(call_id, kind.__name__, error.code, {key: _plain(value) for key, value in error.params.items()})
    _log.error("call %s failed", what, exc_info=error)
    return Refusal(call_id, "Fault", "bridge.call_failed", {"call": what, "detail": type(error).__name__})


def to_error(refusal: Refusal) -> GulouError:
    """Make the error that the other process raised."""
    return _KINDS.get(refusal.kind, Fault)(refusal.code, **refusal.params)


def _plain(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return str(value)
