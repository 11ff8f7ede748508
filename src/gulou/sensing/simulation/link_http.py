"""Devices that speak HTTP: each posts its own readings, and those that act poll for their commands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from gulou.sensing.simulation.links import BackOff, Buffer, CommandDesk, CommandHandler, LinkCounts, Message

_log = logging.getLogger(__name__)

_SENDERS = 4
_POLL_S = 30
_TIMEOUT_S = 15.0
_JSON = {"Content-Type": "application/json"}


class HttpLink:
    """All HTTP devices of the city over one pool of connections.

    Args:
        server: ``http://127.0.0.1:8765``.
        credentials: device id → secret, of the HTTP devices.
        actuators: ids of those that take commands.
    """

    def __init__(
        self, server: str, credentials: Mapping[str, str], actuators: Sequence[str], handler: CommandHandler
    ) -> None:
        self.counts = LinkCounts()
        self._base = f"{server.rstrip('/')}/ingest/v1"
        self._credentials = credentials
        self._actuators = tuple(actuators)
        self._desk = CommandDesk(handler, self.counts)
        self._buffer = Buffer(self.counts)
        self._something = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Take a message to send; never blocks."""
        self._buffer.add(message)
        self._something.set()

    @property
    def waiting(self) -> int:
        """Messages in the buffer."""
        return len(self._buffer)

    async def run(self) -> None:
        """Send and poll until cancelled."""
        limits = httpx.Limits(max_connections=_SENDERS + len(self._actuators) + 2)
        # trust_env: a proxy of the environment has no business between a device and its platform.
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(_SENDERS):
                tasks.create_task(self._send(client))
            for device_id in self._actuators:
                tasks.create_task(self._obey(client, device_id))

    async def _send(self, client: httpx.AsyncClient) -> None:
        back_off = BackOff()
        while True:
            await self._something.wait()
            messages = self._buffer.take(1)
            if not messages:
                self._something.clear()
                continue
            if await self._post(client, messages[0]):
                back_off.reset()
                continue
            self._buffer.give_back(messages)
            await asyncio.sleep(back_off.next_s())

    async def _post(self, client: httpx.AsyncClient, message: Message) -> bool:
        """Return False when it should be tried again."""
        try:
            response = await client.post(
                f"{self._base}/readings", content=message.payload, headers=_JSON, auth=self._auth(message.device_id)
            )
        except httpx.TransportError as error:
            _log.warning("%s: not sent (%s)", message.device_id, type(error).__name__)
            return False
        if response.status_code >= 500 or response.status_code == 429:
            return False
        if response.is_success:
            self.counts.sent_messages += 1
            self.counts.sent_readings += message.readings
        else:
            self.counts.refused_readings += message.readings
            _log.warning("%s: refused with %d", message.device_id, response.status_code)
        return True

    async def _obey(self, client: httpx.AsyncClient, device_id: str) -> None:
        back_off = BackOff()
        while True:
            try:
                response = await client.get(
                    f"{self._base}/commands",
                    params={"wait": _POLL_S},
                    auth=self._auth(device_id),
                    timeout=_POLL_S + _TIMEOUT_S,
                )
                response.raise_for_status()
                for command in _commands_in(response):
                    await self._acknowledge(client, device_id, command)
                self.counts.connects += 1
                back_off.reset()
            except (httpx.HTTPError, ValueError) as error:
                wait_s = back_off.next_s()
                _log.warning("%s: no commands (%s), asking again in %.1f s", device_id, type(error).__name__, wait_s)
                await asyncio.sleep(wait_s)

    async def _acknowledge(self, client: httpx.AsyncClient, device_id: str, command: Mapping[str, Any]) -> None:
        answer = self._desk.answer(device_id, command)
        if answer is None:
            return
        body = {"ok": answer["ok"], "detail": answer["detail"]}
        path = f"{self._base}/commands/{answer['id']}/ack"
        (await client.post(path, json=body, auth=self._auth(device_id))).raise_for_status()

    def _auth(self, device_id: str) -> httpx.BasicAuth:
        return httpx.BasicAuth(device_id, self._credentials[device_id])


def _commands_in(response: httpx.Response) -> list[Mapping[str, Any]]:
    """Read ``{"commands": […]}``, ``{"items": […]}``, a list, or nothing (204)."""
    if response.status_code == httpx.codes.NO_CONTENT or not response.content:
        return []
    body = response.json()
    found = body.get("commands", body.get("items")) if isinstance(body, dict) else body
    return [command for command in found if isinstance(command, Mapping)] if isinstance(found, list) else []
