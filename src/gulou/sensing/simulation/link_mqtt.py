"""One MQTT connection: of a gateway with many devices behind it, or of a device by itself. QoS 1 both ways."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gulou.sensing.simulation.links import BackOff, Buffer, CommandDesk, CommandHandler, LinkCounts, Message

_log = logging.getLogger(__name__)

_BATCH = 100
_FILTERS_A_PACKET = 100
_SESSION_EXPIRY_S = 3_600
_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class MqttAddress:
    """Where the platform listens for devices."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class MqttLink:
    """A connection under one device's id and secret.

    Args:
        actuators: ids of the devices behind it that take commands.
        version_5: MQTT 5 with a session that outlives the connection; else 3.1.1 with a lasting session.
    """

    def __init__(
        self,
        address: MqttAddress,
        device_id: str,
        secret: str,
        actuators: Sequence[str],
        handler: CommandHandler,
        *,
        version_5: bool = True,
    ) -> None:
        self.counts = LinkCounts()
        self._address = address
        self._device_id = device_id
        self._secret = secret
        self._actuators = tuple(actuators)
        self._desk = CommandDesk(handler, self.counts)
        self._buffer = Buffer(self.counts)
        self._something = asyncio.Event()
        self._version_5 = version_5
        self._back_off = BackOff()

    def offer(self, message: Message) -> None:
        """Take a message to send; never blocks."""
        self._buffer.add(message)
        self._something.set()

    @property
    def waiting(self) -> int:
        """Messages in the buffer."""
        return len(self._buffer)

    async def run(self) -> None:
        """Connect, send, obey; connect again after a failure, each time later."""
        while True:
            try:
                async with self._client() as client:
                    self.counts.connects += 1
                    await self._subscribe(client)
                    self._back_off.reset()
                    await self._converse(client)
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                wait_s = self._back_off.next_s()
                _log.warning("%s: connection lost (%s), trying again in %.1f s", self._device_id, error, wait_s)
                await asyncio.sleep(wait_s)

    def _client(self) -> aiomqtt.Client:
        lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        lasting.SessionExpiryInterval = _SESSION_EXPIRY_S
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._device_id,
            password=self._secret,
            identifier=self._device_id,
            keepalive=30,
            timeout=_TIMEOUT_S,
            tls_context=self._address.tls,
            max_inflight_messages=_BATCH,
            # How to ask for a lasting session differs between the two versions.
            protocol=aiomqtt.ProtocolVersion.V5 if self._version_5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if self._version_5 else False,
            clean_start=False if self._version_5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=lasting if self._version_5 else None,
        )
        # A batch of calls at once is meant; the library warns of more than ten.
        client.pending_calls_threshold = 2 * _BATCH
        return client

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        filters = [(f"gulou/{device_id}/commands", 1) for device_id in self._actuators]
        for start in range(0, len(filters), _FILTERS_A_PACKET):
            await client.subscribe(filters[start : start + _FILTERS_A_PACKET], qos=1)

    async def _converse(self, client: aiomqtt.Client) -> None:
        """Send and obey at once, until one of them fails."""
        tasks = [asyncio.create_task(self._send(client)), asyncio.create_task(self._obey(client))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while batch := self._buffer.take(_BATCH):
                await self._send_batch(client, batch)

    async def _send_batch(self, client: aiomqtt.Client, batch: list[Message]) -> None:
        calls = [client.publish(f"gulou/{m.device_id}/readings", m.payload, qos=1, timeout=_TIMEOUT_S) for m in batch]
        try:
            results = await asyncio.gather(*calls, return_exceptions=True)
        except asyncio.CancelledError:
            self._buffer.give_back(batch)
            raise
        failed = [message for message, result in zip(batch, results, strict=True) if result is not None]
        self.counts.sent_messages += len(batch) - len(failed)
        self.counts.sent_readings += sum(m.readings for m in batch) - sum(m.readings for m in failed)
        if failed:
            # At least once: what was not acknowledged goes again over the next connection.
            self._buffer.give_back(failed)
            self._something.set()
            raise next(result for result in results if isinstance(result, BaseException))

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            parts = str(message.topic).split("/")
            if len(parts) != 3 or not isinstance(message.payload, bytes | bytearray):
                continue
            answer = self._desk.answer(parts[1], message.payload)
            if answer is not None:
                payload = json.dumps(answer, separators=(",", ":")).encode()
                await client.publish(f"gulou/{parts[1]}/acks", payload, qos=1, timeout=_TIMEOUT_S)
