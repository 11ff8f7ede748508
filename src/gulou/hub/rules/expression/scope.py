"""Where a compiled expression reads its inputs from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Scope(Protocol):
    """The inputs of one evaluation; every unknown value is None."""

    this: float | None

    def value(self, name: str) -> Any:
        """Return the newest value of a property."""

    def attribute(self, name: str) -> Any:
        """Return a property that does not come as a stream: as last heard, else as the entity has it."""

    def previous(self, name: str) -> Any:
        """Return the value before the newest."""

    def samples(self, name: str, over_us: int) -> tuple[Sequence[int], Sequence[float]]:
        """Return the times (µs, rising) and values of a property within ``(now - over_us, now]``."""


class MappingScope:
    """Plain attributes, without a past: for ``select.where``."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.this: float | None = None
        self._attributes = attributes

    def value(self, name: str) -> Any:
        return self._attributes.get(name)

    def attribute(self, name: str) -> Any:
        return self._attributes.get(name)

    def previous(self, name: str) -> Any:
        return None

    def samples(self, name: str, over_us: int) -> tuple[Sequence[int], Sequence[float]]:
        return (), ()
