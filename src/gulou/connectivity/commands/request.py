"""From a request to the command as it is first stored."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.connectivity.commands.model import Command, CommandRequest
from gulou.kernel.clock import SECOND_US
from gulou.kernel.errors import Invalid

_MAX_RETRIES = 20
_MAX_WAIT_S = 31_622_400.0


def make_command(
    request: CommandRequest, command_id: str, principal: Principal, now_us: int, max_parameters_bytes: int
) -> Command:
    """Check a request and make the command.

    ``requested_by`` is believed only of parts of Gulou itself (rules, incidents); a person or program is who it is.

    Raises:
        Invalid: ``command.field_invalid`` with ``field`` and ``allowed``.
    """
    _check_text("id", command_id, 512)
    _check_text("name", request.name, 128)
    if request.cause is not None:
        _check_text("cause", request.cause, 512)
    _check_wait("acknowledge_within_s", request.acknowledge_within_s)
    _check_wait("effect_within_s", request.effect_within_s)
    _check_wait("expires_in_s", request.expires_in_s)
    if not 0 <= request.retries <= _MAX_RETRIES:
        raise Invalid("command.field_invalid", field="retries", allowed=f"0-{_MAX_RETRIES}")
    if request.effect is not None and not request.effect.tolerance >= 0:
        raise Invalid("command.field_invalid", field="effect.tolerance", allowed="≥ 0")
    _check_parameters(request.parameters, max_parameters_bytes)
    named = request.requested_by if principal.kind == "system" else ""
    return Command(
        id=command_id,
        device_id=request.device_id,
        name=request.name,
        parameters=request.parameters,
        state="requested",
        requested_by=(named or principal.id)[:256],
        requested_at_us=now_us,
        expires_at_us=now_us + round(request.expires_in_s * SECOND_US),
        cause=request.cause,
        effect=request.effect,
        acknowledge_within_s=request.acknowledge_within_s,
        effect_within_s=request.effect_within_s,
        retries=request.retries,
    )


def _check_text(field: str, value: str, longest: int) -> None:
    if not (0 < len(value) <= longest and value.isprintable()):
        raise Invalid("command.field_invalid", field=field, allowed=f"1-{longest} characters")


def _check_wait(field: str, seconds: float) -> None:
    if not (math.isfinite(seconds) and 0 < seconds <= _MAX_WAIT_S):
        raise Invalid("command.field_invalid", field=field, allowed=f"0-{_MAX_WAIT_S:.0f} s")


def _check_parameters(parameters: dict[str, Any], longest: int) -> None:
    try:
        size = len(msgspec.json.encode(parameters))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise Invalid("command.field_invalid", field="parameters", allowed="JSON") from None
    if size > longest:
        raise Invalid("command.field_invalid", field="parameters", allowed=f"≤ {longest} bytes")
