"""The one error tree.

    GulouError
    ├── Invalid       the input is wrong; the same call fails again      (400/422)
    ├── NotFound      what was asked for does not exist                  (404)
    ├── Conflict      it exists already, or has changed meanwhile        (409)
    ├── Denied        who asks may not                                   (401/403)
    ├── Unavailable   not now: full, busy, not connected                 (503, retry later)
    └── Fault         a defect or a broken environment                   (500)

An error carries a stable code (``device.unknown``) and parameters. The sentence that a person reads, in English
or Chinese, is looked up by that code in ``kernel/messages/*.yaml`` and never written at the place of the raise.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Retry = Literal["never", "later"]


class GulouError(Exception):
    """Root of every error that Gulou raises on purpose.

    Args:
        code: stable, dotted, lower-case name of the case, a key of the message catalogue.
        params: values that the message's text names; safe to show to the caller.
    """

    status: ClassVar[int] = 500
    retry: ClassVar[Retry] = "never"

    def __init__(self, code: str, **params: object) -> None:
        self.code = code
        self.params = params
        super().__init__(code)

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"{self.code}({shown})" if shown else self.code


class Invalid(GulouError):
    """The input is wrong; ``params`` say what and where."""

    status = 422


class NotFound(GulouError):
    """What was asked for does not exist, or the asker may not know that it does."""

    status = 404


class Conflict(GulouError):
    """It exists already, or somebody changed it meanwhile."""

    status = 409


class Denied(GulouError):
    """Not signed in (``access.unauthenticated``, 401) or not permitted (403)."""

    status = 403


class Unavailable(GulouError):
    """Not now: a queue is full, a disk is full, a peer is away. Nothing was taken; try again later."""

    status = 503
    retry = "later"


class Fault(GulouError):
    """A defect or a broken environment; the operator must act."""

    status = 500
