"""A command to a device and its life: requested → sent → acknowledged → effect seen."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

CommandState = Literal[
    "requested", "sent", "acknowledged", "effect_seen", "failed", "timed_out", "expired", "cancelled"
]


class ExpectedEffect(msgspec.Struct, frozen=True):
    """How the world shows that a command worked: ``entity.property`` equals ``value`` within ``tolerance``."""

    entity_id: str
    property: str
    value: float | bool | str
    tolerance: float = 0.0


class CommandRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or a rule asks of a device.

    Args:
        id: give one to make the request idempotent: a second request with the same id changes nothing.
        name: ``switch``, ``open``, ``set_level`` …, as the device's profile names it.
        cause: what led to it: a detection's id, an incident's id, or None for a person's own wish.
        requested_by: account id or ``rule:<pack>/<rule>``.
        acknowledge_within_s, effect_within_s: time-outs of the two waits; each send is retried ``retries`` times.
        expires_in_s: for a sleeping or offline device: given up after so long.
    """

    device_id: str
    name: str
    parameters: dict[str, Any] = {}
    id: str | None = None
    effect: ExpectedEffect | None = None
    cause: str | None = None
    requested_by: str = ""
    acknowledge_within_s: float = 10.0
    effect_within_s: float = 300.0
    retries: int = 2
    expires_in_s: float = 3600.0


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it stands; times in µs UTC, None while not reached."""

    id: str
    device_id: str
    name: str
    parameters: dict[str, Any]
    state: CommandState
    requested_by: str
    requested_at_us: int
    expires_at_us: int
    cause: str | None = None
    effect: ExpectedEffect | None = None
    attempts: int = 0
    sent_at_us: int | None = None
    acknowledged_at_us: int | None = None
    effect_seen_at_us: int | None = None
    ended_at_us: int | None = None
    reason: str | None = None
    acknowledge_within_s: float = 10.0
    effect_within_s: float = 300.0
    retries: int = 2


class CommandQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which commands to list, newest first.

    Args:
        active: only those that still wait for something (True), only ended ones (False), or both (None).
        departments: only commands to devices of these, and of none; None: all.
        cursor: ``next`` of the page before.
    """

    device_id: str | None = None
    state: CommandState | None = None
    active: bool | None = None
    cause: str | None = None
    departments: frozenset[str] | None = None
    limit: int = 50
    cursor: str | None = None


class CommandPage(msgspec.Struct, frozen=True):
    """One page of commands; ``next`` is None on the last one."""

    items: tuple[Command, ...]
    total: int
    next: str | None
