"""The ASGI application below ``/ingest/v1``: readings up, commands down. Plain ASGI, because it is a hot path."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from gulou.connectivity.commands.model import Command
from gulou.connectivity.intake import Flaw, Payload, Submission
from gulou.kernel.clock import to_rfc3339
from gulou.kernel.errors import Denied, Fault, GulouError, Invalid, NotFound, Unavailable
from gulou.kernel.messages import render
from gulou.sensing.adapters.http.carrying import MOST_PROBLEMS, SOURCE, Carrier, Outcome
from gulou.sensing.adapters.http.columns import Part
from gulou.sensing.adapters.http.exchange import Receive, Request, Scope, Send, answer, refuse
from gulou.sensing.adapters.http.mailbox import Mailbox, Waiter
from gulou.sensing.adapters.http.reading import ADDRESS, SMALL_BYTES, BodyReader, Sender
from gulou.sensing.adapters.http.settings import HttpSettings
from gulou.sensing.sdk import AdapterContext, Counters, Mapping

_log = logging.getLogger(__name__)
_KEPT_KEYS = 10_000
_LONGEST_KEY = 200


class CommandReply(msgspec.Struct, frozen=True):
    """What a device says about a command."""

    ok: bool = True
    detail: str | None = None


class IngestApplication:
    """ASGI 3 application; runs on the web server's loop. Whatever blocks runs in its own threads."""

    def __init__(self, settings: HttpSettings, context: AdapterContext, counters: Counters, adapter: str) -> None:
        self._settings = settings
        self._context = context
        self._counters = counters
        self._adapter = adapter
        self._reader = BodyReader(context, settings.max_body_bytes)
        self._pool = ThreadPoolExecutor(4, "http-ingest")
        self._bodies = ThreadPoolExecutor(4, "http-bodies")
        self._mailbox = Mailbox(settings.max_waiting_devices)
        self._requests = 0
        self._bytes = 0
        self._answered: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            await self._route(request, send)
        except GulouError as error:
            await refuse(send, error, request.language, self._settings.retry_after_s)
        except Exception:
            _log.exception("http ingest: a request failed")
            await refuse(send, Fault("http.failed"), request.language, self._settings.retry_after_s)

    def close(self) -> None:
        """Take nothing more; idempotent."""
        self._closed = True
        self._pool.shutdown(wait=False)
        self._bodies.shutdown(wait=False)

    def send_command(self, command: Command) -> bool:
        """Hand a command to a device that waits for one. Any thread."""
        if self._closed or not self._mailbox.put(command):
            return False
        self._counters.command_sent()
        return True

    def end_connections(self, device_id: str) -> None:
        """Refuse the requests of a device that wait for commands. Any thread."""
        self._mailbox.refuse(device_id)

    async def _route(self, request: Request, send: Send) -> None:
        if self._closed:
            raise Unavailable("http.busy")
        parts = request.path.strip("/").split("/")
        match (request.method, *parts):
            case ("POST", "readings"):
                await self._readings(request, send)
            case ("GET", "commands"):
                await self._commands(request, send)
            case ("POST", "commands", command_id, "ack"):
                await self._acknowledge(request, send, command_id)
            case (_, "readings") | (_, "commands") | (_, "commands", _, "ack"):
                raise Invalid("http.method_unknown", method=request.method[:20], path=request.path[:200])
            case _:
                raise NotFound("http.path_unknown", path=request.path[:200])

    # -- who ------------------------------------------------------------------------------------------------------

    async def _authenticate(self, request: Request) -> Sender:
        """Find out who asks.

        Raises:
            Denied: ``access.unauthenticated``, ``access.denied``, ``payload.topic_denied``.
        """
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        sender = None
        if kind.lower() == "basic":
            sender = await self._device(secret.strip())
        elif kind.lower() == "bearer" and self._context.programs is not None:
            sender = await self._program(secret.strip())
        if sender is None:
            self._counters.refused()
            raise Denied("access.unauthenticated")
        return self._on_behalf(sender, request.query.get("device"))

    async def _device(self, text: str) -> Sender | None:
        try:
            name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._pool, self._context.credentials.verify, name, secret):
            return None
        device = self._context.devices.find_device(name)
        return Sender(name, None) if device is not None and device.enabled else None

    async def _program(self, token: str) -> Sender | None:
        programs = self._context.programs
        if programs is None:
            return None
        try:
            program = await asyncio.get_running_loop().run_in_executor(self._pool, programs.authenticate_token, token)
        except Denied:
            return None
        if not program.may("intake.write"):
            self._counters.refused()
            raise Denied("access.denied", action="intake.write", department="", entity_type="")
        return Sender(None, program)

    def _on_behalf(self, sender: Sender, child_id: str | None) -> Sender:
        if child_id is None or sender.device_id is None or child_id == sender.device_id:
            return sender
        child = self._context.devices.find_device(child_id)
        if child is None or child.gateway_id != sender.device_id:
            raise Denied("http.not_a_child", device_id=child_id[:128], gateway_id=sender.device_id)
        return Sender(child_id, None, sender.device_id)

    # -- readings -------------------------------------------------------------------------------------------------

    async def _readings(self, request: Request, send: Send) -> None:
        came_at_s = time.perf_counter()
        sender = await self._authenticate(request)
        mapping = self._reader.mapping_of(sender, request.query.get("mapping"))
        reserved = self._reserve(request)
        try:
            body = await request.body(self._settings.max_body_bytes)
            key = self._key(request, sender, body)
            if key is not None and key in self._answered:
                await answer(send, 200, {**self._answered[key], "repeated": True})
                return
            outcome = await self._take(request, sender, mapping, body, key, came_at_s)
        finally:
            self._release(reserved)
        await self._answer_readings(send, request, outcome, key)

    async def _take(
        self,
        request: Request,
        sender: Sender,
        mapping: Mapping | None,
        body: bytes,
        key: str | None,
        came_at_s: float,
    ) -> Outcome:
        """Read a body and wait until all of it is durable: a small one here, a large one beside the loop."""
        name = mapping.name if mapping is not None else None
        carrier = Carrier(self._context.intake, self._counters, self._adapter, name, key, came_at_s)
        precision = request.query.get("precision", "ns")

        def read() -> Iterator[Part]:
            return self._reader.parts(body, request.content_type, sender, mapping, precision)

        if len(body) <= SMALL_BYTES:
            for part in read():
                future = carrier.send(part)
                if future is not None:
                    carrier.got(await asyncio.wrap_future(future))
        else:
            await asyncio.get_running_loop().run_in_executor(self._bodies, carrier.carry, read)
        if sender.device_id is not None:
            self._context.devices.seen(sender.device_id, self._context.clock.now_us())
        return carrier.outcome

    async def _answer_readings(self, send: Send, request: Request, outcome: Outcome, key: str | None) -> None:
        # What the intake rejected, which knows the range, the unit and the clock too; a repeated receipt tells nothing.
        told = outcome.told or outcome.flaws
        content: dict[str, Any] = {
            "received": outcome.received,
            "stored": outcome.stored,
            "rejected": outcome.rejected,
            "problems": [_problem(flaw, request.language) for flaw in told[:MOST_PROBLEMS]],
        }
        if outcome.repeated:
            content["repeated"] = True
        if key is not None:
            self._remember(key, content)
        if outcome.malformed is not None:
            error = Invalid(outcome.malformed.code, **outcome.malformed.params)
            await refuse(send, error, request.language, self._settings.retry_after_s, receipt=content)
            return
        await answer(send, 200, content)

    def _key(self, request: Request, sender: Sender, body: bytes) -> str | None:
        """Return the name under which a repeated request is known; raises Invalid ``http.key_too_long``.

        The body is part of it: another body under a used key is another request, and must not be lost.
        """
        key = request.headers.get("idempotency-key")
        if not key:
            return None
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise Invalid("http.key_too_long", limit=_LONGEST_KEY)
        return f"http:{sender.label}:{key}:{hashlib.blake2b(body, digest_size=8).hexdigest()}"

    def _remember(self, key: str, content: dict[str, Any]) -> None:
        self._answered[key] = content
        while len(self._answered) > _KEPT_KEYS:
            self._answered.popitem(last=False)

    def _reserve(self, request: Request) -> int:
        """Count a body in, before it is read. Raises Unavailable ``http.busy``."""
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else self._settings.max_body_bytes
        size = min(size, self._settings.max_body_bytes)
        too_many = self._requests >= self._settings.max_requests
        if self._closed or too_many or (self._bytes and self._bytes + size > self._settings.max_bytes_at_once):
            raise Unavailable("http.busy")
        self._requests += 1
        self._bytes += size
        return size

    def _release(self, size: int) -> None:
        self._requests -= 1
        self._bytes -= size

    # -- commands -------------------------------------------------------------------------------------------------

    async def _commands(self, request: Request, send: Send) -> None:
        sender = await self._authenticate(request)
        if sender.device_id is None:
            raise Denied("access.denied", action="device.command", department="", entity_type="")
        wait_s = self._wait_of(request)
        loop = asyncio.get_running_loop()
        waiter = Waiter(loop, sender.speaker_id or sender.device_id)
        self._mailbox.open(sender.device_id, waiter)
        try:
            self._context.devices.seen(sender.device_id, self._context.clock.now_us())
            if self._context.commands is not None:
                await loop.run_in_executor(self._pool, self._context.commands.device_available, sender.device_id)
            await self._until_command_or_gone(waiter, request, wait_s)
        finally:
            commands = waiter.close()
            self._mailbox.close(sender.device_id, waiter)
        if waiter.refused:
            self._counters.refused()
            raise Denied("access.unauthenticated")
        await answer(send, 200, {"items": [_shown(command) for command in commands]})

    async def _until_command_or_gone(self, waiter: Waiter, request: Request, wait_s: float) -> None:
        if waiter.commands or wait_s <= 0:
            return
        arrived = asyncio.ensure_future(waiter.wait())
        gone = asyncio.ensure_future(request.gone())
        try:
            await asyncio.wait({arrived, gone}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
            gone.cancel()
            await asyncio.gather(arrived, gone, return_exceptions=True)

    def _wait_of(self, request: Request) -> float:
        text = request.query.get("wait", "0")
        try:
            wait_s = float(text)
        except ValueError:
            raise Invalid("http.wait_unreadable", value=text[:40]) from None
        if not 0 <= wait_s <= self._settings.poll_most_s:
            raise Invalid("http.wait_unreadable", value=text[:40])
        return wait_s

    async def _acknowledge(self, request: Request, send: Send, command_id: str) -> None:
        sender = await self._authenticate(request)
        if sender.device_id is None:
            raise Denied("access.denied", action="device.command", department="", entity_type="")
        body = await request.body(65_536)
        self._counters.command_answered()
        try:
            reply = msgspec.json.decode(body, type=CommandReply) if body.strip() else CommandReply()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._settle, sender.device_id, command_id, reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = Invalid("payload.malformed", format="command answer", detail=str(error)[:200])
            await self._reject(problem, body, sender.device_id)
            raise problem from None
        except (NotFound, Invalid) as error:
            await self._reject(error, body, sender.device_id)
            raise
        await answer(send, 200, {"id": command_id, "ok": reply.ok})

    def _settle(self, device_id: str, command_id: str, reply: CommandReply) -> None:
        commands = self._context.commands
        if commands is None:
            raise NotFound("command.unknown", id=command_id[:128])
        if commands.get_command(command_id).device_id != device_id:
            raise Invalid("payload.command_not_yours", command_id=command_id[:128], device_id=device_id)
        detail = reply.detail[:500] if reply.detail else None
        commands.acknowledge(command_id, reply.ok, detail, self._context.clock.now_us())

    async def _reject(self, error: GulouError, body: bytes, device_id: str) -> None:
        """Note a wrong answer among the rejects."""
        payload = Payload(body, ADDRESS, (), (Flaw(error.code, error.params),), device_id)
        submission = Submission(SOURCE, self._adapter, (payload,))
        self._counters.took(await asyncio.wrap_future(self._context.intake.submit(submission)), 0.0)


def _problem(flaw: Flaw, language: str) -> dict[str, str]:
    return {"where": flaw.where, "code": flaw.code, "text": render(flaw.code, flaw.params, language)}


def _shown(command: Command) -> dict[str, Any]:
    return {
        "id": command.id,
        "deviceId": command.device_id,
        "name": command.name,
        "parameters": command.parameters,
        "requestedAt": to_rfc3339(command.requested_at_us),
        "expiresAt": to_rfc3339(command.expires_at_us),
    }
