"""Which devices were bound to an entity at the start: 12 bytes a binding, gathered while the platform serves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from gulou.kernel.errors import GulouError

_log = logging.getLogger(__name__)


class BoundSource(Protocol):
    """Says what devices are bound to."""

    def bound(self) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
        """Yield (id, entities that it is bound to) of all devices, some at a time."""


class BoundAtStart:
    """Numbers of devices by a hash of the entity. Whoever asks looks at the device itself: it may have changed since.

    Args:
        numbers_of: returns the numbers of devices, None of one that is gone.
        is_empty: there are none.
    """

    def __init__(
        self, source: BoundSource, numbers_of: Callable[[Sequence[str]], list[int | None]], *, is_empty: bool = False
    ) -> None:
        self._source = source
        self._numbers_of = numbers_of
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._devices: NDArray[np.int32] = np.empty(0, np.int32)
        self._gathering = threading.Lock()
        self._is_done = is_empty
        self._is_begun = is_empty
        self._is_closed = False

    def begin(self) -> None:
        """Gather in the background, once."""
        if not self._is_begun:
            self._is_begun = True
            threading.Thread(target=self._gather, name="devices-bound", daemon=True).start()

    def close(self) -> None:
        """Read no further."""
        self._is_closed = True

    def find(self, entity_id: str) -> list[int]:
        """Return the numbers of devices that may be bound to an entity; waits until all is gathered."""
        if not self._is_done:
            self._gather()
        wanted = np.uint64(xxh3_64_intdigest(entity_id.encode()))
        begin, end = np.searchsorted(self._hashes, wanted), np.searchsorted(self._hashes, wanted, "right")
        found: list[int] = self._devices[begin:end].tolist()
        return found

    def _gather(self) -> None:
        with self._gathering:
            if self._is_done:
                return
            self._is_begun = True
            try:
                self._read()
            except GulouError as error:
                _log.error("devices: who is bound to what was not read: %s", error)

    def _read(self) -> None:
        hashes: list[int] = []
        devices: list[int] = []
        for some in self._source.bound():
            if self._is_closed:
                return
            numbers = self._numbers_of([device_id for device_id, _ in some])
            for number, (_, entity_ids) in zip(numbers, some, strict=True):
                if number is not None:
                    for entity_id in entity_ids:
                        hashes.append(xxh3_64_intdigest(entity_id.encode()))
                        devices.append(number)
        found = np.array(hashes, np.uint64)
        order = np.argsort(found, kind="stable")
        self._hashes, self._devices = found[order], np.array(devices, np.int32)[order]
        self._is_done = True
