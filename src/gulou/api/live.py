"""The live stream: what changes in the city, pushed to pages over WebSocket.

Handlers of the bus put changes into each client's mailbox, on the bus's threads; the client's own task takes them out,
on the event loop. Entities and devices are coalesced, the newest value wins; everything else is queued in order. A
client whose queue is full is dropped with close code 1013: it reconnects and asks anew, which is cheaper than lagging.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import create_task_group, fail_after, move_on_after
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from gulou.access import Principal
from gulou.api.live_sources import LiveSources
from gulou.api.mailbox import Mailbox
from gulou.api.schemas.live import LiveSubscription
from gulou.kernel import Denied, render, to_rfc3339

if TYPE_CHECKING:
    from gulou.api.services import Services

logger = logging.getLogger(__name__)

UNAUTHENTICATED, TOO_SLOW, TOO_MANY, TOO_LARGE = 4401, 1013, 1013, 1009
_MESSAGE_MAX = 65_536
_SEND_WITHIN_S = 20.0
_ACCOUNTING_S = 2.0
_AUTHENTICATE_S = 30.0


class LiveHub:
    """All live clients of one application."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._sources = LiveSources(services, self._mailboxes)
        self._clients: dict[int, Mailbox] = {}
        self._guard = threading.Lock()

    def open(self) -> None:
        """Begin to listen on the bus."""
        self._sources.open()

    def close(self) -> None:
        """Stop listening."""
        self._sources.close()

    def count(self) -> int:
        """Return how many clients are connected."""
        return len(self._clients)

    async def serve(self, socket: WebSocket, principal: Principal) -> None:
        """Serve one client until it leaves, is too slow, or may no longer be here."""
        await socket.accept()
        if self.count() >= self._settings.live_clients:
            await socket.close(TOO_MANY, "request.busy")
            return
        loop, awake = asyncio.get_running_loop(), asyncio.Event()
        mailbox = Mailbox(
            principal,
            lambda: _wake(loop, awake),
            self._settings.live_queue,
            self._settings.live_entities,
        )
        with self._guard:
            self._clients[id(mailbox)] = mailbox
        outcome: list[tuple[int, str]] = []

        async def run(part: Awaitable[tuple[int, str]]) -> None:
            try:
                outcome.append(await part)
            except WebSocketDisconnect:
                outcome.append((1000, ""))
            except TimeoutError:  # it has not taken a frame for very long
                outcome.append((TOO_SLOW, "request.busy"))
            group.cancel_scope.cancel()

        try:
            async with create_task_group() as group:
                group.start_soon(run, self._write(socket, mailbox, awake))
                group.start_soon(run, self._read(socket, mailbox, awake))
        finally:
            with self._guard:
                del self._clients[id(mailbox)]
            await run_in_threadpool(self._sources.hear_entities)
        await _close(socket, *outcome[0])

    async def _read(self, socket: WebSocket, mailbox: Mailbox, awake: asyncio.Event) -> tuple[int, str]:
        while True:
            try:
                text = await socket.receive_text()
            except KeyError:  # a binary message, which nobody here sends
                return 1003, "request.content_type"
            if len(text) > _MESSAGE_MAX:
                return TOO_LARGE, "request.too_large"
            mailbox.put(self._subscribed(mailbox, text))
            awake.set()

    def _subscribed(self, mailbox: Mailbox, text: str) -> dict[str, Any]:
        """Put a client's message into force and return the answer to it."""
        try:
            mailbox.wanted = LiveSubscription.model_validate_json(text).subscribe
            self._sources.hear_entities()
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            params = {"problem": first["msg"], "where": ".".join(str(part) for part in first["loc"])}
            message = render("request.malformed", params, mailbox.principal.language or "en")
            return {"kind": "error", "code": "request.malformed", "message": message} | self._stamp()
        return {"kind": "heartbeat"} | self._stamp()

    async def _write(self, socket: WebSocket, mailbox: Mailbox, awake: asyncio.Event) -> tuple[int, str]:
        loop = asyncio.get_running_loop()
        settings = self._settings
        frame_due = 0.0
        beat_due = loop.time() + settings.live_heartbeat_s
        account_due = loop.time()
        authenticate_due = loop.time() + _AUTHENTICATE_S
        accounted: object = None
        while True:
            due = min(beat_due, account_due if mailbox.wanted.accounting else beat_due)
            await _sleep_until(awake, min(due, frame_due) if mailbox.has_coalesced else due, loop)
            if mailbox.overflowed:
                return TOO_SLOW, "request.busy"
            for frame in mailbox.take_queue():
                await self._send(socket, frame)
            now = loop.time()
            if now >= frame_due and mailbox.has_coalesced:
                frame_due = now + settings.live_frame_s
                await self._send_coalesced(socket, mailbox)
            if now >= authenticate_due:
                authenticate_due = now + _AUTHENTICATE_S
                renewed = await run_in_threadpool(self._renewed, socket)
                if renewed is None:
                    return UNAUTHENTICATED, "access.unauthenticated"
                mailbox.principal = renewed
            if now >= account_due and mailbox.wanted.accounting and mailbox.principal.may("intake.read"):
                account_due = now + _ACCOUNTING_S
                accounting = await run_in_threadpool(self._sources.accounting)
                if accounting["accounts"] != accounted:
                    accounted = accounting["accounts"]
                    await self._send(socket, {"kind": "accounting", "item": accounting} | self._stamp())
            if now >= beat_due:
                beat_due = now + settings.live_heartbeat_s
                await self._send(socket, {"kind": "heartbeat"} | self._stamp())

    async def _send_coalesced(self, socket: WebSocket, mailbox: Mailbox) -> None:
        news, devices = mailbox.take_entities(), mailbox.take_devices()
        if news:
            items = await run_in_threadpool(lambda: [self._sources.entity_item(one) for one in news])
            await self._send(socket, {"kind": "entities", "items": items} | self._stamp())
        if devices:
            await self._send(socket, {"kind": "device", "items": devices} | self._stamp())

    def _renewed(self, socket: WebSocket) -> Principal | None:
        """Ask again who this is: the session may have ended, the roles may have changed."""
        token = socket.scope.get("gulou.session_token")
        bearer = socket.headers.get("authorization", "").partition(" ")[2].strip()
        try:
            if token is not None:
                return self._services.access.authenticate_session(token, touch=False)
            return self._services.access.authenticate_token(bearer)
        except Denied:
            return None

    async def _send(self, socket: WebSocket, frame: dict[str, Any]) -> None:
        text = msgspec.json.encode(frame, enc_hook=str).decode()
        with fail_after(_SEND_WITHIN_S):
            await socket.send_text(text)

    def _mailboxes(self) -> list[Mailbox]:
        with self._guard:
            return list(self._clients.values())

    def _stamp(self) -> dict[str, str]:
        return {"at": to_rfc3339(self._services.clock.now_us())}


def _wake(loop: asyncio.AbstractEventLoop, awake: asyncio.Event) -> None:
    if not awake.is_set():
        try:
            loop.call_soon_threadsafe(awake.set)
        except RuntimeError:  # the loop has just been closed: nobody listens any more
            logger.debug("a change came after the live stream had ended")


async def _sleep_until(awake: asyncio.Event, due: float, loop: asyncio.AbstractEventLoop) -> None:
    with move_on_after(max(due - loop.time(), 0.0)):
        await awake.wait()
        awake.clear()


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.close(code, reason)
    except (RuntimeError, WebSocketDisconnect):  # it has left already, or its connection broke
        return
