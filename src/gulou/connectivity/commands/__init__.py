"""Commands to devices: requested, sent, acknowledged, effect seen; with time-outs, retries and expiry."""

from gulou.connectivity.commands.events import CommandChanged
from gulou.connectivity.commands.model import (
    Command,
    CommandPage,
    CommandQuery,
    CommandRequest,
    CommandState,
    ExpectedEffect,
)
from gulou.connectivity.commands.ports import CommandSender, DeviceBook
from gulou.connectivity.commands.service import CommandService
from gulou.connectivity.commands.settings import CommandSettings

__all__ = [
    "Command",
    "CommandChanged",
    "CommandPage",
    "CommandQuery",
    "CommandRequest",
    "CommandSender",
    "CommandService",
    "CommandSettings",
    "CommandState",
    "DeviceBook",
    "ExpectedEffect",
]
