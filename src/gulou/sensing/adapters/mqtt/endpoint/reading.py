"""From a device's publish to a payload for the intake, or to its answer to a command."""

from __future__ import annotations

import msgspec

from gulou.connectivity.intake import Flaw, Payload
from gulou.kernel.errors import Invalid, NotFound
from gulou.sensing.adapters.mqtt.codec import Publish
from gulou.sensing.adapters.mqtt.endpoint.topics import may_speak_for, parse_device_topic
from gulou.sensing.sdk import AdapterContext, Content, DeviceFormat, ReadContext

KEPT_RAW_BYTES = 65_536
_CONTENT_TYPES: dict[str, Content] = {"application/senml+json": "senml", "application/senml+cbor": "senml-cbor"}


class CommandAnswer(msgspec.Struct, frozen=True):
    """A device's word on a command: ``{"id", "ok"?, "detail"?}``."""

    id: str
    ok: bool = True
    detail: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """An answer with who gave it, and the publish as it came, should it turn out wrong."""

    device_id: str
    answer: CommandAnswer
    raw: bytes
    topic: str


class PublishReader:
    """Makes sense of what connected devices publish; never raises on bad data."""

    def __init__(self, context: AdapterContext) -> None:
        self._context = context
        self._format = DeviceFormat(context.devices)

    def read(self, publish: Publish, sender_id: str) -> Payload | Answer:
        """Read one publish of a connected device."""
        now_us = self._context.clock.now_us()
        own = parse_device_topic(publish.topic)
        if own is None:
            return self._by_mapping(publish, sender_id, now_us)
        device_id, leaf = own
        device = self._context.devices.find_device(device_id)
        if device_id != sender_id and (device is None or device.gateway_id != sender_id):
            code = "payload.topic_denied" if device is not None else "device.unknown"
            return self._flawed(publish, sender_id, code, device_id=device_id, topic=publish.topic[:200])
        if leaf == "acks":
            return self._answer(publish, device_id)
        if device is not None and device.mapping is not None:
            return self._mapped(publish, device.mapping, device_id, {}, now_us)
        content = _CONTENT_TYPES.get(publish.properties.get("content_type", ""), "senml" if leaf == "senml" else "json")
        return self._format.read(device_id, publish.payload, publish.topic, now_us, content)

    def read_if_mapped(self, publish: Publish, sender_id: str) -> Payload | None:
        """Read a message to other devices where a mapping reads its topic, too."""
        if self._context.mappings.find_topic(publish.topic) is None:
            return None
        return self._by_mapping(publish, sender_id, self._context.clock.now_us())

    def _by_mapping(self, publish: Publish, sender_id: str, now_us: int) -> Payload:
        found = self._context.mappings.find_topic(publish.topic)
        if found is None:
            return self._flawed(publish, sender_id, "payload.topic_unknown", topic=publish.topic[:200])
        mapping, captures = found
        device_id = captures.get("device", sender_id)
        if not may_speak_for(self._context.devices, sender_id, device_id):
            return self._flawed(
                publish, sender_id, "payload.topic_denied", device_id=device_id[:128], topic=publish.topic[:200]
            )
        return self._mapped(publish, mapping.name, device_id, captures, now_us)

    def _mapped(self, publish: Publish, name: str, device_id: str, captures: dict[str, str], now_us: int) -> Payload:
        mapping = self._context.mappings.find(name)
        if mapping is None:
            return self._flawed(publish, device_id, "mapping.unknown", mapping=name)
        return mapping.read(publish.payload, publish.topic, ReadContext(now_us, device_id, captures))

    def _answer(self, publish: Publish, device_id: str) -> Payload | Answer:
        try:
            answer = msgspec.json.decode(publish.payload, type=CommandAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._flawed(
                publish, device_id, "payload.malformed", format="command answer", detail=str(error)[:200]
            )
        return Answer(device_id, answer, publish.payload, publish.topic)

    def settle(self, answer: Answer) -> Payload | None:
        """Hand an answer to the command service; off the loop. Returns what to reject when it is wrong."""
        commands = self._context.commands
        try:
            if commands is None:
                raise NotFound("command.unknown", id=answer.answer.id[:128])
            if commands.get_command(answer.answer.id).device_id != answer.device_id:
                raise Invalid(
                    "payload.command_not_yours", command_id=answer.answer.id[:128], device_id=answer.device_id
                )
            now_us = self._context.clock.now_us()
            detail = answer.answer.detail[:500] if answer.answer.detail else None
            commands.acknowledge(answer.answer.id, answer.answer.ok, detail, now_us)
        except (NotFound, Invalid) as error:
            flaw = Flaw(error.code, error.params)
            return Payload(answer.raw[:KEPT_RAW_BYTES], answer.topic, (), (flaw,), answer.device_id)
        return None

    def _flawed(self, publish: Publish, sender_id: str, code: str, /, **params: object) -> Payload:
        return Payload(publish.payload[:KEPT_RAW_BYTES], publish.topic[:512], (), (Flaw(code, params),), sender_id)
