"""What the device registry says on the bus."""

from __future__ import annotations

from gulou.connectivity.bus import Message


class DeviceConnected(Message, frozen=True, kw_only=True):
    """A device came online."""

    device_id: str


class DeviceDisconnected(Message, frozen=True, kw_only=True):
    """A device left, or was silent too long (``reason``: ``closed``, ``keep_alive``, ``silence``).

    Args:
        will: what the device had asked to be said in that case, short. It may come later than the device went, in a
            message of its own with the reason ``will``.
    """

    device_id: str
    reason: str
    will: str | None = None


class DeviceChanged(Message, frozen=True, kw_only=True):
    """A device was registered, altered or removed, or its secret was changed or taken away.

    Args:
        change: ``created``, ``updated``, ``deleted`` or ``credentials``.
    """

    device_id: str
    change: str
