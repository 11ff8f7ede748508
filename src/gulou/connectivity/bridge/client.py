"""The other end of the bridge: calls that look like the service itself, and the engine's messages on the own bus."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from gulou.connectivity.bridge.addresses import socket_address
from gulou.connectivity.bridge.failures import to_error
from gulou.connectivity.bridge.frames import Answer, Call, Hello, Missed, Refusal, Told, encode, read_frame
from gulou.connectivity.bridge.peers import is_same_user, limit_sending
from gulou.connectivity.bridge.settings import BridgeSettings
from gulou.connectivity.bridge.signatures import MethodCodec, codecs_of
from gulou.connectivity.bus import Bus, decode_message, deliver
from gulou.kernel.errors import Unavailable

_log = logging.getLogger(__name__)
_SEND_WITHIN_S = 10.0
_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.5
_MOST_WAITING = 50_000
S = TypeVar("S")
Renewed = Callable[[bool], None]


class BridgeClient:
    """Keeps a connection to the engine, and opens it again for as long as it runs. Safe from any thread.

    Args:
        bus: what the engine says is published here, in its order.
    """

    def __init__(self, path: Path, bus: Bus, settings: BridgeSettings | None = None) -> None:
        self._path = path
        self._bus = bus
        self._settings = settings or BridgeSettings()
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._sending = threading.Lock()
        self._open: dict[int, Future[bytes]] = {}
        self._door: socket.socket | None = None
        self._ready = threading.Event()
        self._stopped = threading.Event()
        self._epoch, self._last = "", 0
        self._renewed: list[tuple[str, Renewed]] = []
        self._heard = threading.Condition()
        self._news: deque[Told | Hello | Missed] = deque()
        self._threads = [
            threading.Thread(target=self._keep_open, name="bridge:connect", daemon=True),
            threading.Thread(target=self._publish, name="bridge:publish", daemon=True),
        ]

    @property
    def connected(self) -> bool:
        """Whether the engine is there now."""
        return self._ready.is_set()

    def on_renewed(self, name: str, renewed: Renewed) -> None:
        """Have something called each time that the connection stands anew, before what the engine says from then on.

        Args:
            renewed: gets whether messages may be missing between what was heard before and what comes.
        """
        self._renewed.append((name, renewed))

    def start(self) -> None:
        """Begin to connect; returns at once."""
        for thread in self._threads:
            thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the engine is there; False when it was not in time."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        """Close the connection; what waits for an answer is told that the engine is away."""
        self._stopped.set()
        self._drop(self._door)
        with self._heard:
            self._heard.notify()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)

    def remote(self, kind: type[S], name: str) -> S:
        """Return an object with the public methods of ``kind`` that calls the service exposed as ``name``.

        Each raises what the service raises, and Unavailable ``engine.away`` where the engine is not there or has not
        answered in time: what was asked may then have happened or not.
        """
        return cast(S, _Remote(self, name, codecs_of(kind)))

    def call(self, service: str, method: str, codec: MethodCodec, arguments: bytes) -> Any:
        """Call and wait; see ``remote``."""
        return codec.decode_result(self._await(self._begin(service, method, arguments)))

    def call_later(self, service: str, method: str, codec: MethodCodec, arguments: bytes) -> Future[Any]:
        """Call without waiting."""
        later: Future[Any] = Future()

        def settle(done: Future[bytes]) -> None:
            error = done.exception()
            if error is not None:
                later.set_exception(error)
            else:
                later.set_result(codec.decode_result(done.result()))

        self._begin(service, method, arguments).add_done_callback(settle)
        return later

    def _begin(self, service: str, method: str, arguments: bytes) -> Future[bytes]:
        call = Call(next(self._numbers), service, method, arguments)
        future: Future[bytes] = Future()
        future.call_id = call.id  # type: ignore[attr-defined]  # to forget it when nobody waits any more
        with self._guard:
            door = self._door if self._ready.is_set() else None
            if door is None:
                raise Unavailable("engine.away")
            if len(self._open) >= self._settings.max_calls:
                raise Unavailable("bridge.busy", limit=self._settings.max_calls)
            self._open[call.id] = future
        try:
            with self._sending:
                door.sendall(encode(call))
        except OSError:
            self._drop(door)
            raise Unavailable("engine.away") from None
        return future

    def _await(self, future: Future[bytes]) -> bytes:
        try:
            return future.result(self._settings.answer_within_s)
        except FutureTimeoutError:
            if future.done():  # it is the engine's own answer
                raise
            with self._guard:
                self._open.pop(future.call_id, None)  # type: ignore[attr-defined]
            raise Unavailable("engine.away") from None

    # ---- the connection, on its own thread

    def _keep_open(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopped.is_set():
            door = self._connect()
            if door is None:
                self._stopped.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                continue
            wait_s = _FIRST_WAIT_S
            try:
                self._read(door)
            except (OSError, Unavailable) as error:
                _log.debug("the bridge has come down: %s", error)
            self._drop(door)

    def _connect(self) -> socket.socket | None:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(self._path) as address:
                door.connect(address)
            if not is_same_user(door):
                _log.error("the process at the other end of the bridge is another user's")
                door.close()
                return None
            limit_sending(door, _SEND_WITHIN_S)
            door.sendall(encode(Hello(self._epoch, self._last)))
        except OSError:
            door.close()
            return None
        with self._guard:
            self._door = door
        return door

    def _read(self, door: socket.socket) -> None:
        while (frame := read_frame(door)) is not None:
            if isinstance(frame, Answer | Refusal):
                self._settle(frame)
            elif isinstance(frame, Hello):
                self._epoch = frame.epoch
                self._last = frame.number - 1
                self._ready.set()
                self._note(frame)
            elif isinstance(frame, Told | Missed):
                self._last = max(self._last, frame.number)
                self._note(frame)

    def _settle(self, frame: Answer | Refusal) -> None:
        with self._guard:
            future = self._open.pop(frame.id, None)
        if future is None:
            return
        if isinstance(frame, Answer):
            future.set_result(frame.result)
        else:
            future.set_exception(to_error(frame))

    def _drop(self, door: socket.socket | None) -> None:
        with self._guard:
            if door is None or self._door is not door:
                return
            self._door = None
            self._ready.clear()
            waiting, self._open = list(self._open.values()), {}
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
        door.close()
        for future in waiting:
            future.set_exception(Unavailable("engine.away"))

    # ---- what the engine says, on a thread of its own: a slow listener must not hold answers up

    def _note(self, news: Told | Hello | Missed) -> None:
        with self._heard:
            if len(self._news) >= _MOST_WAITING:
                self._news.clear()
                self._news.append(Missed(self._last))
            self._news.append(news)
            self._heard.notify()

    def _publish(self) -> None:
        while True:
            with self._heard:
                self._heard.wait_for(lambda: self._news or self._stopped.is_set())
                if self._stopped.is_set():
                    return
                news = self._news.popleft()
            if isinstance(news, Told):
                deliver("bridge", self._publish_one, news)
            else:
                missing = not (isinstance(news, Hello) and news.complete)
                for name, renewed in self._renewed:
                    deliver(name, renewed, missing)

    def _publish_one(self, told: Told) -> None:
        self._bus.publish(decode_message(told.body))


class _Remote:
    """Stands for a service in another process."""

    def __init__(self, client: BridgeClient, name: str, methods: dict[str, Callable[..., Any]]) -> None:
        self._client = client
        self._name = name
        self._methods = methods

    def __getattr__(self, method: str) -> Any:
        function = self._methods.get(method)
        if function is None:
            raise AttributeError(f"{self._name} has no {method} to call")
        codec = MethodCodec(function)
        client, name = self._client, self._name
        run = client.call_later if codec.resolves_later else client.call

        def call(*args: Any, **named: Any) -> Any:
            try:
                arguments = codec.encode_arguments(args, named)
            except (msgspec.EncodeError, OverflowError) as error:
                raise TypeError(f"{name}.{method}: {error}") from error
            return run(name, method, codec, arguments)

        setattr(self, method, call)
        return call
