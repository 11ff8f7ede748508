"""What an adapter needs of the house: small Protocols, satisfied by ``connectivity`` and ``access``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices.model import Binding, Device


class DeviceDirectory(Protocol):
    """The device registry as an adapter sees it; answered from memory, any thread."""

    def find_device(self, device_id: str) -> Device | None:
        """Return a registered device, or None."""

    def find_registered(self, device_ids: Sequence[str]) -> list[tuple[int, Device] | None]:
        """Return of each device its number and what was registered, its presence perhaps an old one; None: unknown."""

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a device's channel is bound to; its property is filled in. None: not bound."""

    def children(self, gateway_id: str) -> Sequence[str]:
        """Return the ids of the devices that speak through a gateway."""

    def connected(self, device_id: str) -> None:
        """Note that a device has opened a connection."""

    def disconnected(self, device_id: str, reason: str, will: str | None = None) -> None:
        """Note that its connection is gone (``closed``, ``keep_alive``), and what it had wanted said in that case."""

    def left_will(self, device_id: str, will: str) -> None:
        """Note what a device that went some time ago had wanted said."""

    def seen(self, device_id: str, at_us: int) -> None:
        """Note a sign of life that is no reading."""

    def number_of(self, device_id: str) -> int | None:
        """Return a device's number, which no other device will ever have while this process lives; None: unknown."""

    def seen_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> None:
        """Note signs of life of many devices at once, each named once by its number."""

    @property
    def generation(self) -> int:
        """Grows with every device that is added, changed or removed."""

    def changed_since(self, generation: int) -> Sequence[str] | None:
        """Return the ids of the devices that have changed since that generation; None: too many, forget all."""


class CredentialCheck(Protocol):
    """Who may call itself a device. May take 100 ms (hashing): call it off the event loop."""

    def verify(self, device_id: str, secret: str) -> bool:
        """Tell whether the secret is the device's."""


class Program(Protocol):
    """Whom a token belongs to."""

    @property
    def id(self) -> str: ...

    def may(self, action: str, department: str | None = None, entity_type: str | None = None) -> bool:
        """Tell whether it is permitted."""


class TokenCheck(Protocol):
    """Who a program is. May take some ms: call it off the event loop."""

    def authenticate_token(self, token: str) -> Program:
        """Return whom the token belongs to. Raises Denied."""


class CommandDesk(Protocol):
    """The command service as an adapter sees it. Writes to a database: call it off the event loop."""

    def get_command(self, command_id: str) -> Command:
        """Return a command. Raises NotFound ``command.unknown``."""

    def acknowledge(self, command_id: str, ok: bool, detail: str | None, at_us: int) -> object:
        """Note a device's answer."""

    def device_available(self, device_id: str) -> object:
        """Send what waits for a device that can be reached now, and for those that speak through it."""
