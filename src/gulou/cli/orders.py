"""What the supervisor and its parts say to each other: orders on the command line, reports through a pipe."""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec

from gulou.kernel.errors import Conflict, Denied, Fault, GulouError, Invalid, NotFound, Unavailable

_KINDS: dict[str, type[GulouError]] = {
    kind.__name__: kind for kind in (Invalid, NotFound, Conflict, Denied, Unavailable, Fault)
}


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is to be.

    Args:
        settings: of the server, command line included, as JSON.
        doors: file descriptors of listening sockets, inherited.
        report: file descriptor to report to.
        mqtt_port: as the command line says; None: the settings' one.
    """

    part: Literal["engine", "web", "city"]
    data: str
    settings: dict[str, Any] = {}
    doors: tuple[int, ...] = ()
    report: int = -1
    mqtt_port: int | None = None
    devices: int = 0
    seed: int = 0
    verbose: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a part has started.

    Args:
        is_serving: it serves devices already and is not ready yet; another report follows.
        kind, code, params: the error that kept it from starting.
        password: of the first admin, at the first start only.
    """

    is_ready: bool
    is_serving: bool = False
    mqtt_port: int | None = None
    token: str = ""
    password: str | None = None
    kind: str = ""
    code: str = ""
    params: dict[str, Any] = {}

    @classmethod
    def of(cls, error: GulouError) -> Report:
        """Tell of an error."""
        kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS), "Fault")
        params = {key: msgspec.to_builtins(value, enc_hook=str) for key, value in error.params.items()}
        return cls(is_ready=False, kind=kind, code=error.code, params=params)

    def error(self) -> GulouError:
        """Return the error that it tells of."""
        return _KINDS.get(self.kind, Fault)(self.code, **self.params)

    def send(self, descriptor: int) -> None:
        """Write it as one line."""
        os.write(descriptor, msgspec.json.encode(self) + b"\n")
