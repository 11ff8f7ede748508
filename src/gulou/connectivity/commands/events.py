"""What the command service says on the bus; each carries the whole command as it then stands."""

from __future__ import annotations

from gulou.connectivity.bus import Message
from gulou.connectivity.commands.model import Command


class CommandsIssued(Message, frozen=True, kw_only=True):
    """Commands were sent and are to be recorded; the service says so to itself, which gathers them by itself."""


class CommandChanged(Message, frozen=True, kw_only=True):
    """A command reached a new state (``command.state``)."""

    command: Command
