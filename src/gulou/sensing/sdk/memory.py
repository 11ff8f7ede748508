"""The house in memory: what an adapter is given in tests and stories. Same rules, nothing on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import (
    ColumnSubmission,
    Flaw,
    Payload,
    Reading,
    Receipt,
    SeriesCatalogue,
    Submission,
    reading_at,
)
from gulou.kernel.errors import Denied, NotFound, Unavailable


class MemoryIntake:
    """Implements ``Intake``: keeps everything, rejects exact duplicates and what the devices' gate refuses.

    Args:
        devices: asked about every reading of a device; None: every device may report everything.
    """

    def __init__(self, devices: MemoryDevices | None = None) -> None:
        self.readings: list[Reading] = []
        self.rejected: list[tuple[Payload, Flaw]] = []
        self.submissions: list[Submission] = []
        self.series = SeriesCatalogue()
        self.dropped: dict[str, int] = {}
        self.unavailable: Unavailable | None = None
        self._devices = devices
        self._known: dict[tuple[str, str, int], object] = {}
        self._positions: dict[str, int] = {}
        self._held: list[Callable[[], None]] | None = None
        self._lock = threading.Lock()

    def submit(self, submission: Submission) -> Future[Receipt]:
        """See ``Intake.submit``. Raises Unavailable while ``unavailable`` is set."""
        future: Future[Receipt] = Future()
        with self._lock:
            if self.unavailable is not None:
                raise self.unavailable
            if self._held is not None:
                self._held.append(lambda: future.set_result(self._take(submission)))
                return future
            receipt = self._take(submission)
        future.set_result(receipt)
        return future

    def submit_columns(self, submission: ColumnSubmission) -> Future[Receipt]:
        """See ``Intake.submit_columns``; kept as readings, each with its own payload."""
        payloads = tuple(
            msgspec.structs.replace(
                submission.raw_of(row), readings=(reading_at(submission.columns, row, self.series),)
            )
            for row in range(len(submission.columns))
        )
        return self.submit(
            Submission(
                submission.source,
                submission.adapter,
                payloads,
                submission.mapping,
                submission.origin,
                submission.position,
            )
        )

    def hold(self) -> None:
        """From now on, nothing becomes durable."""
        with self._lock:
            self._held = []

    def release(self) -> None:
        """What was held becomes durable, in order, and so does what follows."""
        with self._lock:
            held, self._held = self._held or [], None
        for finish in held:
            finish()

    @property
    def held(self) -> int:
        """How many submissions are held."""
        return len(self._held or [])

    def drop(self, source: str, count: int, reason: str) -> None:
        """See ``Intake.drop``; counted by reason."""
        with self._lock:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def position_of(self, origin: str) -> int:
        """See ``Intake.position_of``."""
        return self._positions.get(origin, 0)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Nothing to wait for."""

    def codes(self) -> list[str]:
        """Return the reason codes of all rejects, in order."""
        return [flaw.code for _, flaw in self.rejected]

    def _take(self, submission: Submission) -> Receipt:
        origin, position = submission.origin, submission.position
        if origin is not None and position is not None:
            if position <= self._positions.get(origin, 0):
                return Receipt(len(self.submissions), 0, 0, 0, repeated=True)
            self._positions[origin] = position
        before = len(self.readings), len(self.rejected)
        for payload in submission.payloads:
            for reading in payload.readings:
                self._take_reading(payload, reading)
            self.rejected += [(payload, flaw) for flaw in payload.flaws]
        self.submissions.append(submission)
        stored, rejected = len(self.readings) - before[0], len(self.rejected) - before[1]
        return Receipt(len(self.submissions), stored + rejected, stored, rejected)

    def _take_reading(self, payload: Payload, reading: Reading) -> None:
        where = f"{reading.entity_id} {reading.property}"
        key = (reading.entity_id, reading.property, reading.observed_at_us)
        device_id = reading.device_id or payload.device_id
        refusal = None
        if self._devices is not None and device_id is not None:
            refusal = self._devices.refusal(device_id, reading.entity_id, reading.property)
        if refusal is None and key in self._known and self._known[key] == reading.value:
            refusal = "reading.duplicate"
        if refusal is not None:
            self.rejected.append((payload, Flaw(refusal, {}, where)))
            return
        self._known[key] = reading.value
        self.readings.append(reading)


class MemoryDevices:
    """Devices and their secrets; implements ``DeviceDirectory``, ``CredentialCheck`` and the intake's gate."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._secrets: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._changes: list[str] = []
        self.heard: set[str] = set()
        self.online: dict[str, bool] = {}
        self.reasons: list[str] = []
        self.wills: list[str] = []
        self.presence: list[str] = []

    def add(self, device: Device, secret: str | None = None) -> None:
        """Register a device, with a secret if it has a connection of its own."""
        self._devices[device.id] = device
        self._numbers.setdefault(device.id, len(self._numbers))
        self._changes.append(device.id)
        if secret is not None:
            self._secrets[device.id] = secret

    def remove(self, device_id: str) -> None:
        """Take a device and its secret away."""
        del self._devices[device_id]
        self._changes.append(device_id)
        self._secrets.pop(device_id, None)

    def find_device(self, device_id: str) -> Device | None:
        """See ``DeviceDirectory``."""
        return self._devices.get(device_id)

    def find_registered(self, device_ids: Sequence[str]) -> list[tuple[int, Device] | None]:
        """See ``DeviceDirectory``."""
        known = self._devices
        return [(self._numbers[one], known[one]) if one in known else None for one in device_ids]

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """See ``DeviceDirectory``."""
        device = self._devices.get(device_id)
        for binding in device.bindings if device is not None else ():
            if binding.channel == channel:
                return msgspec.structs.replace(binding, property=binding.property or channel)
            if binding.channel == "*":
                return msgspec.structs.replace(binding, property=channel)
        return None

    def children(self, gateway_id: str) -> list[str]:
        """See ``DeviceDirectory``."""
        return [device.id for device in self._devices.values() if device.gateway_id == gateway_id]

    def connected(self, device_id: str) -> None:
        """See ``DeviceDirectory``."""
        self.online[device_id] = True
        self.presence.append(f"+{device_id}")

    def disconnected(self, device_id: str, reason: str, will: str | None = None) -> None:
        """See ``DeviceDirectory``."""
        self.online[device_id] = False
        self.presence.append(f"-{device_id}")
        self.reasons.append(reason)
        if will is not None:
            self.wills.append(will)

    def left_will(self, device_id: str, will: str) -> None:
        """See ``DeviceDirectory``."""
        self.wills.append(will)

    def seen(self, device_id: str, at_us: int) -> None:
        """See ``DeviceDirectory``."""

    def number_of(self, device_id: str) -> int | None:
        """See ``DeviceDirectory``."""
        return self._numbers.get(device_id) if device_id in self._devices else None

    def seen_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> None:
        """See ``DeviceDirectory``; the ids are kept in ``heard``."""
        ids = list(self._numbers)
        self.heard.update(ids[number] for number in numbers.tolist())

    @property
    def generation(self) -> int:
        """See ``DeviceDirectory``."""
        return len(self._changes)

    def changed_since(self, generation: int) -> list[str]:
        """See ``DeviceDirectory``."""
        return self._changes[generation:]

    def refusal(self, device_id: str, entity_id: str, property_name: str) -> str | None:
        """See the intake's ``DeviceGate``."""
        device = self._devices.get(device_id)
        if device is None:
            return "device.unknown"
        if not device.enabled:
            return "device.disabled"
        bound = any(binding.entity_id == entity_id for binding in device.bindings)
        return None if bound else "device.not_bound"

    def verify(self, device_id: str, secret: str) -> bool:
        """See ``CredentialCheck``."""
        return secret != "" and self._secrets.get(device_id) == secret


class MemoryProgram(msgspec.Struct, frozen=True):
    """A program with a token; implements ``Program``."""

    id: str
    actions: frozenset[str]

    def may(self, action: str, department: str | None = None, entity_type: str | None = None) -> bool:
        """See ``Program``."""
        return action in self.actions


class MemoryPrograms:
    """Programs by token; implements ``TokenCheck``."""

    def __init__(self) -> None:
        self._programs: dict[str, MemoryProgram] = {}

    def add(self, token: str, *actions: str) -> None:
        """Register a program."""
        self._programs[token] = MemoryProgram(f"program-{len(self._programs)}", frozenset(actions))

    def authenticate_token(self, token: str) -> MemoryProgram:
        """See ``TokenCheck``."""
        if token not in self._programs:
            raise Denied("access.unauthenticated")
        return self._programs[token]


class MemoryCommands:
    """Commands that wait for their devices; implements ``CommandDesk``. ``send`` is set once the adapter is there.

    Args:
        devices: knows who speaks through whom.
    """

    def __init__(self, devices: MemoryDevices | None = None) -> None:
        self._devices = devices
        self.send: Callable[[Command], bool] = lambda _command: False
        self.answers: list[tuple[str, bool, str | None]] = []
        self.available: list[str] = []
        self._commands: dict[str, Command] = {}
        self._waiting: dict[str, Command] = {}

    def request(self, command: Command) -> bool:
        """Try to send a command now; one that cannot be sent waits until its device is available."""
        self._commands[command.id] = command
        if self.send(command):
            return True
        self._waiting[command.id] = command
        return False

    def get_command(self, command_id: str) -> Command:
        """See ``CommandDesk``."""
        if command_id not in self._commands:
            raise NotFound("command.unknown", id=command_id)
        return self._commands[command_id]

    def acknowledge(self, command_id: str, ok: bool, detail: str | None, at_us: int) -> None:
        """See ``CommandDesk``."""
        self.answers.append((command_id, ok, detail))

    def device_available(self, device_id: str) -> None:
        """See ``CommandDesk``."""
        self.available.append(device_id)
        reached = {device_id, *(self._devices.children(device_id) if self._devices is not None else ())}
        for command in [one for one in self._waiting.values() if one.device_id in reached]:
            if self.send(command):
                del self._waiting[command.id]
