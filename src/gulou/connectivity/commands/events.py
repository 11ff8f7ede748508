"""What the command service says on the bus; each carries the whole command as it then stands."""

from __future__ import annotations

from gulou.connectivity.bus import Message
from gulou.connectivity.commands.model import Command


class CommandChanged(Message, frozen=True, kw_only=True):
    """A command reached a new state (``command.state``)."""

    command: Command
