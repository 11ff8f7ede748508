"""The engine's end of the bridge: answers calls and tells what its bus says."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gulou.connectivity.bridge.addresses import socket_address
from gulou.connectivity.bridge.failures import to_refusal
from gulou.connectivity.bridge.frames import Answer, Call, Frame, Hello, Missed, Refusal, Told, encode, read_frame
from gulou.connectivity.bridge.peers import is_same_user, limit_sending
from gulou.connectivity.bridge.relay import Relay
from gulou.connectivity.bridge.settings import BridgeSettings
from gulou.connectivity.bridge.signatures import MethodCodec, codecs_of
from gulou.connectivity.bus import Bus, Message, Subscription
from gulou.kernel.errors import GulouError, Invalid, NotFound, Unavailable

_log = logging.getLogger(__name__)
_SEND_WITHIN_S = 10.0
_MOST_WAITING = 10_000
_GATHER_S = 0.01


class BridgeServer:
    """Listens on a socket file of mode 0600 for other processes of this user.

    Life: construct, ``expose`` what may be called, ``start``, ``stop``.

    Args:
        relay: which messages cross; they are taken from ``bus`` from the construction on.
    """

    def __init__(self, path: Path, bus: Bus, relay: Relay, settings: BridgeSettings | None = None) -> None:
        self._path = path
        self._relay = relay
        self._settings = settings or BridgeSettings()
        self._epoch = secrets.token_hex(8)
        self._targets: dict[str, tuple[Any, dict[str, Callable[..., Any]]]] = {}
        self._codecs: dict[tuple[str, str], MethodCodec] = {}
        self._peers: set[_Peer] = set()
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(self._settings.call_threads, thread_name_prefix="bridge")
        self._door: socket.socket | None = None
        self._subscriptions: list[Subscription] = [
            bus.subscribe(Message, self._tell, name="bridge", bound=_MOST_WAITING, batch=True, gather_s=_GATHER_S)
        ]

    def expose(self, name: str, target: object, kind: type[Any], only: Iterable[str] | None = None) -> None:
        """Let the public methods of ``kind`` be called on ``target``; with ``only``, those alone."""
        methods = codecs_of(kind)
        allowed = set(methods if only is None else only)
        self._targets[name] = (target, {key: value for key, value in methods.items() if key in allowed})

    def start(self) -> None:
        """Begin to listen; a socket file that a killed process left is replaced."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with socket_address(self._path) as address:
                door.bind(address)
        finally:
            os.umask(before)
        door.listen(8)
        self._door = door
        threading.Thread(target=self._accept, args=(door,), name="bridge:accept", daemon=True).start()

    def stop(self) -> None:
        """Take no more calls, and close every connection."""
        for subscription in self._subscriptions:
            subscription.cancel()
        door, self._door = self._door, None
        if door is not None:
            self._path.unlink(missing_ok=True)
            _end(door)
        with self._guard:
            peers = list(self._peers)
        for peer in peers:
            peer.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _accept(self, door: socket.socket) -> None:
        while self._door is door:
            try:
                connection, _ = door.accept()
            except OSError:
                return
            if not is_same_user(connection):
                _log.warning("a process of another user knocked at the bridge")
                connection.close()
                continue
            peer = _Peer(connection, self._serve, self._leave)
            with self._guard:
                self._peers.add(peer)
            peer.start()

    def _leave(self, peer: _Peer) -> None:
        with self._guard:
            self._peers.discard(peer)

    def _tell(self, messages: list[Message]) -> None:
        told = self._relay.take(messages)
        if not told:
            return
        with self._guard:
            peers = [peer for peer in self._peers if peer.listens]
        for peer in peers:
            peer.tell(told)

    # ---- one peer's frames, on its own thread

    def _serve(self, peer: _Peer, frame: Frame) -> None:
        if isinstance(frame, Hello):
            self._greet(peer, frame)
        elif isinstance(frame, Call):
            self._take(peer, frame)

    def _greet(self, peer: _Peer, hello: Hello) -> None:
        known = hello.number if hello.epoch == self._epoch else 0
        with self._guard:  # nothing may be told between what is kept and what comes
            held, complete = self._relay.since(known)
            first = known + 1
            peer.put(Hello(self._epoch, first, complete and hello.epoch == self._epoch))
            for told in held:
                peer.put(told)
            peer.listens = True

    def _take(self, peer: _Peer, call: Call) -> None:
        what = f"{call.service}.{call.method}"
        try:
            run, codec = self._prepare(call)
        except (GulouError, msgspec.DecodeError) as error:
            known = error if isinstance(error, GulouError) else Invalid("bridge.broken", detail=str(error)[:200])
            peer.put(to_refusal(call.id, known, what))
            return
        if not peer.begin(self._settings.max_calls):
            peer.put(to_refusal(call.id, Unavailable("bridge.busy", limit=self._settings.max_calls), what))
            return
        self._pool.submit(run).add_done_callback(partial(_settle, peer, call.id, codec, what))

    def _prepare(self, call: Call) -> tuple[Callable[[], Any], MethodCodec]:
        target, methods = self._targets.get(call.service, (None, {}))
        function = methods.get(call.method)
        if function is None:
            raise NotFound("bridge.call_unknown", call=f"{call.service}.{call.method}")
        key = (call.service, call.method)
        codec = self._codecs.get(key)
        if codec is None:
            codec = self._codecs[key] = MethodCodec(function)
        args, named = codec.decode_arguments(call.arguments)
        return partial(getattr(target, call.method), *args, **named), codec


def _settle(peer: _Peer, call_id: int, codec: MethodCodec, what: str, done: Future[Any]) -> None:
    """Answer a call whose method has returned; one that has returned a ``Future`` is answered when that resolves."""
    if done.cancelled():
        peer.end(to_refusal(call_id, Unavailable("engine.away"), what))
        return
    error = done.exception()
    if error is not None:
        peer.end(to_refusal(call_id, error, what))
        return
    value = done.result()
    if codec.resolves_later and isinstance(value, Future):
        value.add_done_callback(partial(_resolve, peer, call_id, codec, what))
        return
    _answer(peer, call_id, codec, what, value)


def _resolve(peer: _Peer, call_id: int, codec: MethodCodec, what: str, done: Future[Any]) -> None:
    error = done.exception()
    if error is not None:
        peer.end(to_refusal(call_id, error, what))
    else:
        _answer(peer, call_id, codec, what, done.result())


def _answer(peer: _Peer, call_id: int, codec: MethodCodec, what: str, value: Any) -> None:
    try:
        frame: Answer | Refusal = Answer(call_id, codec.encode_result(value))
    except (TypeError, ValueError, OverflowError) as error:
        frame = to_refusal(call_id, error, what)
    peer.end(frame)


class _Peer:
    """One connection: a thread that reads, a thread that writes.

    Told messages are bounded: of a listener that is too slow the oldest are given up, and it is told so.
    """

    _BOUND = 20_000

    def __init__(
        self, door: socket.socket, serve: Callable[[_Peer, Frame], None], leave: Callable[[_Peer], None]
    ) -> None:
        self.listens = False
        self._door = door
        self._serve = serve
        self._leave = leave
        self._changed = threading.Condition()
        self._waiting: deque[Frame] = deque()
        self._told: deque[Told] = deque()
        self._missed = 0
        self._under_way = 0
        self._closed = False
        limit_sending(door, _SEND_WITHIN_S)

    def start(self) -> None:
        threading.Thread(target=self._read, name="bridge:read", daemon=True).start()
        threading.Thread(target=self._write, name="bridge:write", daemon=True).start()

    def begin(self, limit: int) -> bool:
        """Count a call in; False when too many are under way."""
        with self._changed:
            if self._under_way >= limit:
                return False
            self._under_way += 1
            return True

    def end(self, frame: Answer | Refusal) -> None:
        """Count a call out, and answer it."""
        with self._changed:
            self._under_way -= 1
        self.put(frame)

    def put(self, frame: Frame) -> None:
        with self._changed:
            self._waiting.append(frame)
            self._changed.notify()

    def tell(self, told: list[Told]) -> None:
        with self._changed:
            self._told.extend(told)
            while len(self._told) > self._BOUND:
                self._missed = max(self._missed, self._told.popleft().number)
            self._changed.notify()

    def close(self) -> None:
        """Send what waits, as far as it goes at once, and close."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._door)) is not None:
                self._serve(self, frame)
        except (OSError, Unavailable) as error:
            _log.debug("a connection of the bridge has ended: %s", error)
        self._leave(self)
        self.close()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (frames := self._next()) is not None:
                self._door.sendall(b"".join(encode(frame) for frame in frames))
        self._leave(self)
        self.close()
        _end(self._door)

    def _next(self) -> list[Frame] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._told or self._missed or self._closed)
            frames: list[Frame] = [*self._waiting]
            self._waiting.clear()
            if self._missed:
                frames.append(Missed(self._missed))
                self._missed = 0
            frames += self._told
            self._told.clear()
            return frames if frames or not self._closed else None


def _end(door: socket.socket) -> None:
    with contextlib.suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)
    door.close()
