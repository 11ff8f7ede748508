"""The test that every adapter passes. An adapter's own tests subclass ``UplinkContract`` (and ``CommandContract`` if it
can send commands) and say how one of its devices behaves, by a ``Peer``; pytest finds the cases.

    class TestTcpLine(UplinkContract):
        def make(self, context): return TcpLineAdapter(TcpLineSettings(port=0), context)
        def connect(self, adapter, device_id, secret): return TcpLinePeer(adapter.address, device_id, secret)

The house (intake, registry, commands) is in memory; the sockets are real. Times are bounded, never slept for.
"""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache

import pytest

from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices.model import Binding, Device
from gulou.kernel.clock import SECOND_US, SystemClock, from_rfc3339, to_rfc3339
from gulou.kernel.errors import Unavailable
from gulou.sensing.sdk.adapter import Adapter, AdapterContext
from gulou.sensing.sdk.memory import MemoryCommands, MemoryDevices, MemoryIntake
from gulou.vocabulary import Vocabulary

DEVICE, SECRET = "drain-sensor-1", "correct horse 1"
OTHER, OTHER_SECRET = "drain-sensor-2", "correct horse 2"
ENTITY = "urn:ngsi-ld:WaterLevelObserved:drain-1"
OTHER_ENTITY = "urn:ngsi-ld:WaterLevelObserved:drain-2"
AT = "2026-07-01T08:00:00Z"
_PATIENCE_S = 10.0
_QUIET_S = 0.2


class Peer(ABC):
    """A device on the other side of a real socket, with one connection."""

    @abstractmethod
    def frame(self, values: dict[str, float], at: str) -> bytes:
        """Return the bytes of one message with channel values at a time (RFC 3339)."""

    @abstractmethod
    def malformed(self) -> bytes:
        """Return the bytes of one message that keeps to the protocol and whose payload makes no sense."""

    @abstractmethod
    def oversized(self) -> bytes:
        """Return the beginning of a message that is larger than the adapter takes."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes; errors of a connection that is closed already are swallowed."""

    @abstractmethod
    def wait_acknowledged(self, timeout_s: float) -> bool:
        """Wait for the next "it is durable"; False when none comes in time or the connection ends."""

    @abstractmethod
    def wait_closed(self, timeout_s: float) -> bool:
        """Wait until the other side has ended the connection."""

    @abstractmethod
    def close(self) -> None:
        """Cut the connection, without a farewell."""

    def send(self, values: dict[str, float], at: str = AT) -> bool:
        """Send one message and wait until it is durable."""
        self.write(self.frame(values, at))
        return self.wait_acknowledged(_PATIENCE_S)

    def next_command(self, timeout_s: float) -> str | None:
        """Wait for a command; returns its id. For ``CommandContract``."""
        raise NotImplementedError

    def answer(self, command_id: str, ok: bool) -> None:
        """Answer a command. For ``CommandContract``."""
        raise NotImplementedError


@lru_cache(maxsize=1)
def builtin_vocabulary() -> Vocabulary:
    """Return the built-in types."""
    return Vocabulary.load()


def eventually(condition: Callable[[], object], timeout_s: float = _PATIENCE_S) -> bool:
    """Poll until a condition holds; False when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


class House:
    """What the adapter under test is given."""

    def __init__(self) -> None:
        self.devices = MemoryDevices()
        self.intake = MemoryIntake(self.devices)
        self.commands = MemoryCommands(self.devices)
        for device_id, secret, entity in ((DEVICE, SECRET, ENTITY), (OTHER, OTHER_SECRET, OTHER_ENTITY)):
            binding = Binding(entity, "WaterLevelObserved", "level", "waterLevel")
            self.devices.add(Device(id=device_id, name=device_id, adapter="test", bindings=(binding,)), secret)

    def context(self) -> AdapterContext:
        """Make the context; a new one for each adapter."""
        return AdapterContext(
            self.intake, self.devices, self.devices, commands=self.commands, vocabulary=builtin_vocabulary()
        )

    def command(self, number: int = 1, device_id: str = DEVICE) -> Command:
        """Make a command that expires in an hour."""
        now_us = SystemClock().now_us()
        return Command(
            id=f"cmd-{number}",
            device_id=device_id,
            name="switch",
            parameters={"on": True},
            state="requested",
            requested_by="rule:flood/pump",
            requested_at_us=now_us,
            expires_at_us=now_us + 3_600 * SECOND_US,
        )


class AdapterFixture(ABC):
    """What both contracts need of an adapter's test."""

    @abstractmethod
    def make(self, context: AdapterContext) -> Adapter:
        """Make the adapter, not started, on a free port of the loopback."""

    @abstractmethod
    def connect(self, adapter: Adapter, device_id: str, secret: str) -> Peer:
        """Open a device's connection. Raises ConnectionError when it is refused."""

    @pytest.fixture
    def house(self) -> House:
        return House()

    @pytest.fixture
    def adapter(self, house: House) -> Iterator[Adapter]:
        adapter = self.make(house.context())
        house.commands.send = adapter.send
        adapter.start()
        yield adapter
        adapter.stop()

    @pytest.fixture
    def peer(self, adapter: Adapter) -> Iterator[Peer]:
        peer = self.connect(adapter, DEVICE, SECRET)
        yield peer
        peer.close()

    @pytest.fixture
    def other(self, adapter: Adapter) -> Iterator[Peer]:
        other = self.connect(adapter, OTHER, OTHER_SECRET)
        yield other
        other.close()


class UplinkContract(AdapterFixture):
    """Readings up: nothing lost, nothing doubled, nobody hurt by somebody else's mistakes."""

    def test_a_reading_arrives_as_it_was_sent(self, house: House, peer: Peer) -> None:
        assert peer.send({"level": 2.5})
        reading = house.intake.readings[0]
        assert (reading.entity_id, reading.property, reading.value) == (ENTITY, "waterLevel", 2.5)
        assert reading.observed_at_us == from_rfc3339(AT)
        assert reading.device_id == DEVICE

    def test_many_readings_arrive_in_order(self, house: House, peer: Peer) -> None:
        start_us = from_rfc3339(AT)
        times = [to_rfc3339(start_us + number * SECOND_US) for number in range(100)]
        for number, at in enumerate(times):
            peer.write(peer.frame({"level": float(number)}, at))
        assert all(peer.wait_acknowledged(_PATIENCE_S) for _ in times)
        assert [reading.value for reading in house.intake.readings] == [float(number) for number in range(100)]

    def test_nothing_is_acknowledged_before_it_is_durable(self, house: House, peer: Peer) -> None:
        house.intake.hold()
        peer.write(peer.frame({"level": 2.5}, AT))
        assert eventually(lambda: house.intake.held)
        assert not peer.wait_acknowledged(_QUIET_S)
        house.intake.release()
        assert peer.wait_acknowledged(_PATIENCE_S)

    def test_nothing_is_acknowledged_while_the_intake_is_unavailable(self, house: House, peer: Peer) -> None:
        house.intake.unavailable = Unavailable("intake.disk_full", path="log", free_mb=0)
        peer.write(peer.frame({"level": 2.5}, AT))
        assert not peer.wait_acknowledged(_QUIET_S)
        assert house.intake.readings == []

    def test_half_frames_are_put_together(self, house: House, peer: Peer) -> None:
        for byte in peer.frame({"level": 2.5}, AT):
            peer.write(bytes((byte,)))
        assert peer.wait_acknowledged(_PATIENCE_S)
        assert len(house.intake.readings) == 1

    def test_frames_glued_together_are_told_apart(self, house: House, peer: Peer) -> None:
        later = to_rfc3339(from_rfc3339(AT) + SECOND_US)
        peer.write(peer.frame({"level": 2.5}, AT) + peer.frame({"level": 2.6}, later))
        assert peer.wait_acknowledged(_PATIENCE_S)
        assert peer.wait_acknowledged(_PATIENCE_S)
        assert [reading.value for reading in house.intake.readings] == [2.5, 2.6]

    def test_a_truncated_frame_makes_nothing(self, house: House, peer: Peer, other: Peer) -> None:
        frame = peer.frame({"level": 2.5}, AT)
        peer.write(frame[: len(frame) - 3])
        peer.close()
        assert other.send({"level": 1.0})
        assert [reading.device_id for reading in house.intake.readings] == [OTHER]

    @pytest.mark.parametrize("seed", range(8))
    def test_garbage_hurts_nobody_else(self, house: House, adapter: Adapter, seed: int) -> None:
        other = self.connect(adapter, OTHER, OTHER_SECRET)
        peer = self.connect(adapter, DEVICE, SECRET)
        peer.write(random.Random(seed).randbytes(4_096))  # noqa: S311  # the same garbage every time
        peer.close()
        assert other.send({"level": 1.0})
        other.close()
        assert [reading.device_id for reading in house.intake.readings] == [OTHER]

    def test_a_message_that_is_too_large_is_refused(self, house: House, peer: Peer, other: Peer) -> None:
        peer.write(peer.oversized())
        assert peer.wait_closed(_PATIENCE_S)
        assert other.send({"level": 1.0})

    def test_a_payload_without_sense_is_rejected_and_the_connection_goes_on(self, house: House, peer: Peer) -> None:
        peer.write(peer.malformed())
        assert eventually(lambda: house.intake.rejected)
        payload, flaw = house.intake.rejected[0]
        assert flaw.code.startswith("payload.")
        assert payload.raw
        peer.wait_acknowledged(_PATIENCE_S)
        assert peer.send({"level": 2.5})

    def test_a_channel_that_is_not_bound_is_rejected(self, house: House, peer: Peer) -> None:
        peer.write(peer.frame({"colour": 7.0}, AT))
        assert eventually(lambda: house.intake.rejected)
        assert house.intake.codes() == ["payload.channel_unbound"]

    def test_the_same_message_twice_counts_once(self, house: House, peer: Peer) -> None:
        assert peer.send({"level": 2.5})
        assert peer.send({"level": 2.5})
        assert len(house.intake.readings) == 1
        assert house.intake.codes() == ["reading.duplicate"]

    def test_a_device_comes_back(self, house: House, adapter: Adapter, peer: Peer) -> None:
        assert peer.send({"level": 2.5})
        peer.close()
        again = self.connect(adapter, DEVICE, SECRET)
        assert again.send({"level": 2.6}, "2026-07-01T08:01:00Z")
        again.close()
        assert [reading.value for reading in house.intake.readings] == [2.5, 2.6]

    @pytest.mark.parametrize(("device_id", "secret"), [("nobody", SECRET), (DEVICE, "wrong"), (DEVICE, OTHER_SECRET)])
    def test_who_is_not_known_is_not_let_in(self, house: House, adapter: Adapter, device_id: str, secret: str) -> None:
        with pytest.raises(ConnectionError):
            self.connect(adapter, device_id, secret)
        assert house.intake.submissions == []
        assert eventually(lambda: adapter.counters.values().refused)

    def test_the_counters_add_up(self, house: House, adapter: Adapter, peer: Peer) -> None:
        assert peer.send({"level": 2.5})
        peer.write(peer.frame({"colour": 7.0}, AT))
        assert eventually(lambda: adapter.counters.values().rejected)
        values = adapter.counters.values()
        assert (values.received, values.accepted, values.rejected, values.dropped) == (2, 1, 1, 0)
        assert sum(values.latency) == 2

    def test_stopping_twice_is_fine_and_what_was_taken_is_durable(self, house: House, adapter: Adapter) -> None:
        peer = self.connect(adapter, DEVICE, SECRET)
        assert peer.send({"level": 2.5})
        adapter.stop()
        adapter.stop()
        assert peer.wait_closed(_PATIENCE_S)
        assert len(house.intake.readings) == 1

    def test_its_health_is_up(self, adapter: Adapter) -> None:
        assert adapter.health().state == "up"


class CommandContract(AdapterFixture):
    """Commands down: reached, answered, or honestly not."""

    def test_a_command_reaches_its_device_and_the_answer_comes_back(self, house: House, peer: Peer) -> None:
        house.commands.request(house.command())
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        peer.answer("cmd-1", ok=True)
        assert eventually(lambda: house.commands.answers)
        assert house.commands.answers[0][:2] == ("cmd-1", True)

    def test_a_refusal_comes_back_as_one(self, house: House, peer: Peer) -> None:
        house.commands.request(house.command())
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        peer.answer("cmd-1", ok=False)
        assert eventually(lambda: house.commands.answers)
        assert house.commands.answers[0][:2] == ("cmd-1", False)

    def test_a_device_that_is_away_is_not_reached(self, house: House, adapter: Adapter) -> None:
        assert adapter.send(house.command()) is False

    def test_a_command_waits_for_a_device_that_is_away(self, house: House, adapter: Adapter) -> None:
        assert house.commands.request(house.command()) is False
        peer = self.connect(adapter, DEVICE, SECRET)
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        peer.close()

    def test_a_command_without_an_answer_stays_without_one(self, house: House, peer: Peer) -> None:
        house.commands.request(house.command())
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        assert peer.send({"level": 2.5})
        assert house.commands.answers == []

    def test_a_command_reaches_nobody_else(self, house: House, adapter: Adapter, peer: Peer, other: Peer) -> None:
        house.commands.request(house.command())
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        assert other.next_command(_QUIET_S) is None

    def test_nobody_answers_for_another(self, house: House, peer: Peer, other: Peer) -> None:
        house.commands.request(house.command())
        assert peer.next_command(_PATIENCE_S) == "cmd-1"
        other.answer("cmd-1", ok=True)
        assert eventually(lambda: house.intake.rejected)
        assert house.commands.answers == []
        assert house.intake.codes() == ["payload.command_not_yours"]
