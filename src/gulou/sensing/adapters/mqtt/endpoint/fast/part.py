"""What one reading of bytes gave: rows, the messages they came in, whose acknowledgements follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, ColumnSubmission, Payload
from gulou.sensing.adapters.mqtt.endpoint.fast.kernel import (
    FIRST_ROW,
    MESSAGE_DEVICE,
    PACKET_ID,
    PAYLOAD_BEGIN,
    PAYLOAD_END,
)

KEPT_RAW_BYTES = 65_536


class Sender(Protocol):
    """The connection that messages came on."""

    gone: bool

    def done(self, entry: Entry) -> None:
        """Note that messages are durable, or given up."""

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due."""


@dataclass(slots=True, eq=False)
class Entry:
    """The messages of one connection in a part, one behind another.

    Args:
        first, count: which messages of the part.
        acks: the PUBACKs of those of QoS 1.
        behind: how many messages of its connection went the general way before them.
        size: bytes of their frames.
    """

    lane: Sender
    first: int
    count: int
    acks: bytes
    behind: int
    size: int


@dataclass(slots=True, eq=False)
class Part:
    """Rows that came together.

    Args:
        data: the bytes that they came in.
        messages: int64[m, 5], see the kernel.
        device_ids: ids by the kernel's device number.
        came_at_s: by the loop's clock.
    """

    data: bytes
    columns: Columns
    messages: NDArray[np.int64]
    entries: list[Entry]
    device_ids: list[str]
    came_at_s: float


class Load:
    """Parts on their way to the intake as one submission; what need not wait may be thrown out in between."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.came_at_s = parts[0].came_at_s
        self._bounds = np.cumsum([0, *(len(part.columns) for part in parts)])
        self._payloads: dict[tuple[int, int], Payload] = {}
        self._rows: NDArray[np.intp] | None = None
        self._columns = parts[0].columns if len(parts) == 1 else _join([part.columns for part in parts])

    def __len__(self) -> int:
        return len(self._columns) if self._rows is None else len(self._rows)

    @property
    def entries(self) -> list[Entry]:
        """All connections' messages, in the order in which they came."""
        return [entry for part in self.parts for entry in part.entries]

    def submission(self, source: str, adapter: str, begin: int = 0, end: int | None = None) -> ColumnSubmission:
        """Make a submission of the rows that are left, or of some of them."""
        rows = self._rows
        if rows is None and begin == 0 and end is None:
            return ColumnSubmission(source, adapter, self._columns, self.payload_of)
        kept = (np.arange(len(self._columns)) if rows is None else rows)[begin:end]
        return ColumnSubmission(source, adapter, self._columns.take(kept), lambda row: self.payload_of(int(kept[row])))

    def payload_of(self, row: int) -> Payload:
        """Return the payload that a row came in: one object for all rows of a message."""
        number = int(np.searchsorted(self._bounds, row, "right")) - 1
        part = self.parts[number]
        index = int(np.searchsorted(part.messages[:, FIRST_ROW], row - self._bounds[number], "right")) - 1
        made = self._payloads.get((number, index))
        if made is None:
            message = part.messages[index]
            device_id = part.device_ids[message[MESSAGE_DEVICE]]
            raw = part.data[message[PAYLOAD_BEGIN] : min(message[PAYLOAD_END], message[PAYLOAD_BEGIN] + KEPT_RAW_BYTES)]
            made = Payload(raw, f"gulou/{device_id}/readings", device_id=device_id)
            self._payloads[number, index] = made
        return made

    def give_up(self) -> int:
        """Leave out what nobody waits for: QoS 0, and what came on connections that are gone.

        Returns:
            How many rows of QoS 0 these were; who sent the others was told nothing, and will send them again.
        """
        wanted, unconfirmed = [], []
        for part in self.parts:
            of_qos_1 = part.messages[:, PACKET_ID] > 0
            stays = np.zeros(len(of_qos_1), np.bool_)
            for entry in part.entries:
                stays[entry.first : entry.first + entry.count] = not entry.lane.gone
            lengths = np.diff(part.messages[:, FIRST_ROW], append=len(part.columns))
            wanted.append(np.repeat(of_qos_1 & stays, lengths))
            unconfirmed.append(np.repeat(~of_qos_1, lengths))
        left = np.ones(len(self._columns), np.bool_)
        if self._rows is not None:
            left[:] = False
            left[self._rows] = True
        dropped = int(np.count_nonzero(np.concatenate(unconfirmed) & left))
        self._rows = np.nonzero(np.concatenate(wanted) & left)[0]
        return dropped


def _join(parts: list[Columns]) -> Columns:
    return Columns(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.observed_at_us for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
