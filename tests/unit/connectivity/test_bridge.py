"""Two ends of a bridge in one process: calls look like the service, messages come in order, a break mends itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import pytest

from gulou.access import Principal
from gulou.connectivity.bridge import BridgeClient, BridgeServer, BridgeSettings, Relay
from gulou.connectivity.bus import InProcessBus
from gulou.connectivity.devices import DeviceChanged, DeviceConnected
from gulou.kernel.errors import Conflict, Denied, Fault, Invalid, NotFound, Unavailable

QUICK = BridgeSettings(answer_within_s=10, call_threads=4, max_calls=8, kept_messages=50)


class Note(msgspec.Struct, frozen=True):
    text: str
    at_us: int | None = None


@dataclass(frozen=True)
class Pair:
    left: float
    right: tuple[str, ...] = ()


class Desk:
    """A service as others are."""

    def __init__(self) -> None:
        self.later: list[Future[Note]] = []
        self.held = threading.Event()

    def echo(self, note: Note, pair: Pair, *, names: frozenset[str] | None = None) -> tuple[Note, Pair, int]:
        return note, pair, len(names or ())

    def add(self, left: int, right: int = 5) -> int:
        return left + right

    def who(self, principal: Principal) -> str:
        principal.require("device.command", "roads")
        return principal.name

    def refuse(self, kind: str) -> None:
        raise {"conflict": Conflict, "missing": NotFound}[kind]("device.changed", device_id="d", version=3)

    def break_down(self) -> None:
        raise ZeroDivisionError

    def lines(self, count: int) -> Iterator[str]:
        return (f"line {number}" for number in range(count))

    def total(self, numbers: Iterable[int]) -> int:
        return sum(numbers)

    def promise(self) -> Future[Note]:
        self.later.append(Future())
        return self.later[-1]

    def wait(self) -> None:
        self.held.wait(20)

    def _secret(self) -> str:
        return "not for others"


@pytest.fixture
def ends(tmp_path) -> Iterator[Callable[..., tuple[Desk, BridgeServer, InProcessBus]]]:
    """Makes servers on one path, one after another; all are stopped at the end."""
    servers, buses = [], []

    def make() -> tuple[Desk, BridgeServer, InProcessBus]:
        bus, desk = InProcessBus(), Desk()
        relay = Relay((DeviceChanged,), (DeviceConnected,), QUICK.kept_messages)
        server = BridgeServer(tmp_path / "run" / "engine.sock", bus, relay, QUICK)
        server.expose("desk", desk, Desk)
        server.start()
        servers.append((server, desk))
        buses.append(bus)
        return desk, server, bus

    yield make
    for server, desk in servers:
        desk.held.set()
        server.stop()
    for bus in buses:
        bus.close()


@pytest.fixture
def far(tmp_path) -> Iterator[tuple[BridgeClient, InProcessBus]]:
    bus = InProcessBus()
    client = BridgeClient(tmp_path / "run" / "engine.sock", bus, QUICK)
    yield client, bus
    client.stop()
    bus.close()


@pytest.fixture
def desk(ends, far) -> tuple[Desk, Desk]:
    """(the service, how it looks from the other end)"""
    real, _, _ = ends()
    client, _ = far
    client.start()
    assert client.wait(10)
    return real, client.remote(Desk, "desk")


def test_values_arrive_as_the_types_that_the_method_declares(desk) -> None:
    _, remote = desk
    note, pair = Note("water", 12), Pair(1.5, ("a", "b"))
    assert remote.echo(note, pair, names=frozenset({"x", "y"})) == (note, pair, 2)
    assert remote.echo(note, pair=pair) == (note, pair, 0)
    assert remote.add(2) == 7
    assert remote.add(left=2, right=1) == 3


def test_what_is_iterable_travels_whole(desk) -> None:
    _, remote = desk
    assert list(remote.lines(3)) == ["line 0", "line 1", "line 2"]
    assert remote.total(number for number in range(4)) == 6


def test_errors_come_out_as_they_went_in(desk) -> None:
    _, remote = desk
    with pytest.raises(Conflict) as refused:
        remote.refuse("conflict")
    assert (refused.value.code, refused.value.params) == ("device.changed", {"device_id": "d", "version": 3})
    with pytest.raises(NotFound):
        remote.refuse("missing")
    with pytest.raises(Fault) as broken:
        remote.break_down()
    assert broken.value.params == {"call": "desk.break_down", "detail": "ZeroDivisionError"}


def test_a_principal_travels_with_what_it_may_do(desk) -> None:
    _, remote = desk
    assert remote.who(Principal.system("rules")) == "rules"
    with pytest.raises(Denied):
        remote.who(Principal("token", "p", "p"))


def test_only_what_was_exposed_can_be_called(desk, far) -> None:
    _, remote = desk
    client, _ = far
    with pytest.raises(AttributeError):
        remote._secret()
    with pytest.raises(TypeError):
        remote.add()
    with pytest.raises(NotFound):
        client.remote(Desk, "another").add(1)


def test_a_promise_holds_no_thread_and_no_other_call(desk) -> None:
    real, remote = desk
    promises = [remote.promise() for _ in range(QUICK.call_threads + 2)]
    assert remote.add(1) == 6
    for number, later in enumerate(real.later):
        later.set_result(Note(str(number)))
    assert {promise.result(10).text for promise in promises} == {str(number) for number in range(len(promises))}


def test_a_promise_that_fails_fails_at_the_other_end(desk) -> None:
    real, remote = desk
    promise = remote.promise()
    remote.add(1)
    real.later[0].set_exception(Invalid("reading.range", value=1))
    with pytest.raises(Invalid):
        promise.result(10)


def test_too_many_calls_are_told_to_try_again(desk, wait_for) -> None:
    real, remote = desk
    with ThreadPoolExecutor(QUICK.max_calls) as pool:
        waiting = [pool.submit(remote.wait) for _ in range(QUICK.max_calls)]
        wait_for(lambda: _is_busy(remote), message="too many")
        real.held.set()
        assert [one.result(10) for one in waiting] == [None] * QUICK.max_calls


def _is_busy(remote: Desk) -> bool:
    try:
        remote.add(1)
    except Unavailable as error:
        return error.code == "bridge.busy"
    return False


def test_without_an_engine_a_call_says_so_at_once(far) -> None:
    client, _ = far
    client.start()
    with pytest.raises(Unavailable) as away:
        client.remote(Desk, "desk").add(1)
    assert away.value.code == "engine.away"


def test_who_waits_for_an_answer_is_told_when_the_engine_goes(ends, far) -> None:
    real, server, _ = ends()
    client, _ = far
    client.start()
    assert client.wait(10)
    promise = client.remote(Desk, "desk").promise()
    client.remote(Desk, "desk").add(1)
    real.held.set()
    server.stop()
    with pytest.raises(Unavailable) as away:
        promise.result(10)
    assert away.value.code == "engine.away"


def test_messages_come_in_their_order_and_only_those_kinds(ends, far, wait_for) -> None:
    _, _, near_bus = ends()
    client, bus = far
    heard: list[str] = []
    bus.subscribe(DeviceChanged, lambda message: heard.append(message.device_id), name="test")
    client.start()
    assert client.wait(10)
    for number in range(20):
        near_bus.publish(DeviceChanged(at_us=number, device_id=str(number), change="updated"))
    wait_for(lambda: len(heard) == 20)
    assert heard == [str(number) for number in range(20)]


def test_what_was_said_while_nobody_listened_is_told_later_once(ends, far, wait_for) -> None:
    _, _, near_bus = ends()
    for number in range(5):
        near_bus.publish(DeviceChanged(at_us=number, device_id=str(number), change="updated"))
    near_bus.drain()
    client, bus = far
    heard: list[str] = []
    renewals: list[bool] = []
    client.on_renewed("test", renewals.append)
    bus.subscribe(DeviceChanged, lambda message: heard.append(message.device_id), name="test")
    client.start()
    wait_for(lambda: len(heard) == 5)
    assert renewals == [True]  # a listener that was never there may have missed anything

    client._drop(client._door)
    for number in range(5, 8):
        near_bus.publish(DeviceChanged(at_us=number, device_id=str(number), change="updated"))
    wait_for(lambda: len(heard) == 8)
    assert heard == [str(number) for number in range(8)]
    assert renewals == [True, False]


def test_more_than_is_kept_is_told_as_missing(ends, far, wait_for) -> None:
    _, _, near_bus = ends()
    client, bus = far
    heard: list[int] = []
    renewals: list[bool] = []
    client.on_renewed("test", renewals.append)
    bus.subscribe(DeviceChanged, lambda message: heard.append(message.at_us), name="test")
    client.start()
    wait_for(lambda: renewals)
    client._stopped.set()
    client._drop(client._door)
    for number in range(QUICK.kept_messages + 10):
        near_bus.publish(DeviceChanged(at_us=number, device_id="d", change="updated"))
    near_bus.drain()
    again = BridgeClient(client._path, bus, QUICK)
    again._epoch, again._last = client._epoch, client._last
    again.on_renewed("test", renewals.append)
    again.start()
    wait_for(lambda: len(heard) == QUICK.kept_messages)
    assert renewals == [True, True]
    assert heard == list(range(10, QUICK.kept_messages + 10))
    again.stop()


def test_an_engine_that_was_started_anew_is_found_again(ends, far, wait_for) -> None:
    _, server, _ = ends()
    client, _ = far
    renewals: list[bool] = []
    client.on_renewed("test", renewals.append)
    client.start()
    wait_for(lambda: renewals == [True])
    server.stop()
    wait_for(lambda: not client.connected)
    ends()
    wait_for(lambda: client.connected)
    assert client.remote(Desk, "desk").add(1) == 6
    wait_for(lambda: renewals == [True, True])


def test_a_slow_listener_does_not_hold_answers_up(ends, far) -> None:
    _, _, near_bus = ends()
    client, bus = far
    go_on = threading.Event()
    bus.subscribe(DeviceChanged, lambda message: go_on.wait(20), name="slow", bound=1)
    client.start()
    assert client.wait(10)
    for number in range(20):
        near_bus.publish(DeviceChanged(at_us=number, device_id="d", change="updated"))
    assert client.remote(Desk, "desk").add(1) == 6
    go_on.set()


def test_noise_ends_that_connection_only(desk, far) -> None:
    _, remote = desk
    client, _ = far
    for noise in (b"\xff\xff\xff\xff", b"\x03\x00\x00\x00abc", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(client._path))
            stranger.sendall(noise)
            stranger.shutdown(socket.SHUT_WR)
            stranger.settimeout(10)
            assert _is_over(stranger)
    assert remote.add(1) == 6


def _is_over(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except ConnectionResetError:  # bytes that it had not read
        return True


def test_the_socket_is_for_this_user_only(desk, far) -> None:
    client, _ = far
    assert client._path.stat().st_mode & 0o777 == 0o600


def test_a_socket_file_that_a_killed_process_left_is_replaced(ends, far, tmp_path) -> None:
    path = tmp_path / "run" / "engine.sock"
    path.parent.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    ends()
    client, _ = far
    client.start()
    assert client.wait(10)
    assert client.remote(Desk, "desk").add(1) == 6
