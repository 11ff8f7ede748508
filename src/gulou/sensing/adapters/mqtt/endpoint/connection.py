"""One device's connection: the MQTT conversation, from CONNECT to the last byte. Lives on the endpoint's loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, cast

from gulou.sensing.adapters.mqtt.codec import (
    V5,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Framer,
    Packet,
    PingReq,
    PingResp,
    Properties,
    ProtocolError,
    PubAck,
    Publish,
    Qos2Step,
    Reason,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    encode,
    encode_pubacks,
)
from gulou.sensing.adapters.mqtt.endpoint.reading import PublishReader
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session
from gulou.sensing.adapters.mqtt.endpoint.topics import hears
from gulou.sensing.adapters.mqtt.endpoint.uplink import Message, Uplink
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import Counters, DeviceDirectory, is_filter

_log = logging.getLogger(__name__)
_MOST_ALIASES = 256
_V311_CODES = {
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_INVALID: 2,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.SERVER_BUSY: 3,
    Reason.QUOTA_EXCEEDED: 3,
    Reason.BAD_CREDENTIALS: 4,
}
_NOT_AUTHORISED_V311 = 5

State = Literal["new", "checking", "open", "closed"]


class Host(Protocol):
    """What a connection needs of the endpoint that it belongs to."""

    settings: MqttSettings
    counters: Counters
    directory: DeviceDirectory
    reader: PublishReader

    def loop_time(self) -> float: ...

    def admit(self, connection: Connection) -> bool: ...

    def forget(self, connection: Connection, reason: str) -> None: ...

    def new_uplink(self, acknowledge: Callable[[list[int]], None], ready: Callable[[], None]) -> Uplink: ...

    def new_client_id(self) -> str: ...

    def check_credentials(self, connection: Connection, packet: Connect) -> None: ...

    def take_session(
        self, connection: Connection, device_id: str, client_id: str, clean: bool, expiry_s: int
    ) -> tuple[Session, bool]: ...

    def opened(self, connection: Connection, session: Session) -> None: ...

    def announce(self, device_ids: list[str]) -> None: ...


class Connection(asyncio.Protocol):
    """The endpoint's side of one connection; whatever goes wrong here ends this connection only."""

    def __init__(self, endpoint: Host) -> None:
        self._endpoint = endpoint
        self._settings = endpoint.settings
        self._framer = Framer(endpoint.settings.max_packet_bytes)
        self._backlog: deque[Packet] = deque()
        self._aliases: dict[int, str] = {}
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._keep_alive_s = 0.0
        self._send_most = endpoint.settings.max_commands_inflight
        self._largest_to_peer: int | None = None
        self._reason = "closed"
        self._uplink = endpoint.new_uplink(self._acknowledge, self._make_room)
        self.state: State = "new"
        self.version = 4
        self.device_id: str | None = None
        self.session: Session | None = None
        self.heard_at_s = 0.0
        self.took_over = False

    # -- asyncio calls these -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, unless there are too many already."""
        self._transport = cast("asyncio.Transport", transport)
        self.heard_at_s = self._endpoint.loop_time()
        if not self._endpoint.admit(self):
            self.state = "closed"
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Follow the conversation as far as the bytes go."""
        if self.state == "closed":
            return
        self.heard_at_s = self._endpoint.loop_time()
        try:
            for packet in self._framer.feed(data):
                if self._is("closed"):
                    return
                if self._is("checking"):
                    self._backlog.append(packet)
                else:
                    self._take(packet)
        except ProtocolError as error:
            self._fail(error)
        self._uplink.flush()
        self._pause_if_full()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up; what is under way to the log still gets there."""
        self.state = "closed"
        self._uplink.leave()
        self._endpoint.forget(self, self._reason)

    # -- the endpoint calls these --------------------------------------------------------------------------------

    def check_time(self, now_s: float) -> None:
        """End the connection if it has been silent too long. Source: MQTT 5.0 §3.1.2.10."""
        silent_s = now_s - self.heard_at_s
        if self.state in ("new", "checking"):
            if self.state == "new" and silent_s > self._settings.connect_timeout_s:
                self.end(None, "closed")
        elif self.state == "open" and self._keep_alive_s and silent_s > 1.5 * self._keep_alive_s and not self._paused:
            self.end(Reason.KEEP_ALIVE_TIMEOUT, "keep_alive")

    def end(self, reason: Reason | None, why: str) -> None:
        """Close from our side; an MQTT 5 peer is told the reason."""
        if self.state == "closed" or self._transport is None:
            return
        if reason is not None and self.state == "open" and self.version == V5:
            self._send(Disconnect(reason))
        self.state = "closed"
        self._reason = why
        self._transport.close()

    @property
    def unfinished(self) -> int:
        """Messages that are not yet durable."""
        return self._uplink.unfinished

    async def finish(self) -> None:
        """Take nothing more, and wait until what was taken is durable and acknowledged."""
        if self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        await self._uplink.finish()

    def admitted(self, connect: Connect, device_id: str | None, reason: Reason) -> None:
        """Go on after the credentials were checked."""
        if self.state != "checking" or self._transport is None:
            return
        if device_id is None:
            self._refuse(reason)
            return
        try:
            self._open(connect, device_id)
            self._transport.resume_reading()
            while self._backlog and self._is("open"):
                self._take(self._backlog.popleft())
        except ProtocolError as error:
            self._fail(error)
        self._uplink.flush()
        self._pause_if_full()

    def deliver(self, publish: Publish) -> None:
        """Send one command's publish; at QoS 1 it is kept until the device confirms it."""
        session = self.session
        if session is None or self.state != "open" or len(session.outbound) >= self._send_most:
            return
        if publish.qos:
            publish = Publish(
                publish.topic, publish.payload, 1, session.take_packet_id(), properties=publish.properties
            )
            session.outbound[publish.packet_id or 0] = publish
        self._send(publish)

    def has_room(self) -> bool:
        """Tell whether another command can be sent now. Any thread."""
        session = self.session
        return self.state == "open" and session is not None and len(session.outbound) < self._send_most

    # -- the conversation ----------------------------------------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        if self.state == "new":
            if not isinstance(packet, Connect):
                raise ProtocolError(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
            self._connect(packet)
            return
        match packet:
            case Publish():
                self._publish(packet)
            case PubAck():
                if self.session is not None:
                    self.session.outbound.pop(packet.packet_id, None)
            case PingReq():
                self._send(PingResp())
            case Subscribe():
                self._subscribe(packet)
            case Unsubscribe():
                self._unsubscribe(packet)
            case Disconnect():
                self._disconnect(packet)
            case Qos2Step():
                raise ProtocolError(Reason.PROTOCOL_ERROR, "a step of QoS 2, which was not granted")
            case Auth():
                raise ProtocolError(Reason.PROTOCOL_ERROR, "AUTH without an authentication method")
            case _:
                raise ProtocolError(Reason.PROTOCOL_ERROR, f"{type(packet).__name__} is not for a server")

    def _connect(self, packet: Connect) -> None:
        self.version = packet.version
        self.state = "checking"
        if self._transport is not None:
            self._transport.pause_reading()
        if "authentication_method" in packet.properties:
            self._refuse(Reason.BAD_AUTHENTICATION_METHOD)
        elif not packet.client_id and not packet.clean_start:
            self._refuse(Reason.CLIENT_ID_INVALID)
        elif packet.username is None or packet.password is None:
            self._refuse(Reason.NOT_AUTHORISED)
        else:
            self._endpoint.check_credentials(self, packet)

    def _open(self, packet: Connect, device_id: str) -> None:
        settings, properties = self._settings, packet.properties
        if 0 in (properties.get("receive_maximum"), properties.get("maximum_packet_size")):
            raise ProtocolError(Reason.PROTOCOL_ERROR, "a maximum of 0")
        client_id = packet.client_id or self._endpoint.new_client_id()
        expiry_s = settings.session_expiry_s
        if packet.version == V5:
            expiry_s = properties.get("session_expiry_interval", 0)
        elif packet.clean_start:
            expiry_s = 0
        self._keep_alive_s = packet.keep_alive_s
        self.device_id = device_id
        session, present = self._endpoint.take_session(self, device_id, client_id, packet.clean_start, expiry_s)
        self.session = session
        self.state = "open"
        answer: Properties = {}
        if packet.version == V5:
            answer = self._limits(packet, session, client_id)
            self._send_most = min(self._send_most, properties.get("receive_maximum", 65_535))
            self._largest_to_peer = properties.get("maximum_packet_size")
        self._send(ConnAck(Reason.SUCCESS, present, answer))
        self._endpoint.opened(self, session)
        self._send_again(session)
        heard = [one for text, _ in session.filters for one in self._heard(text)]
        self._announce(heard)

    def _announce(self, heard: list[str]) -> None:
        """Say whom we reach now; who reaches this device reaches its children by it."""
        if self.device_id in heard:
            heard = [self.device_id]
        if heard:
            self._endpoint.announce(heard)

    def _limits(self, packet: Connect, session: Session, client_id: str) -> Properties:
        """Say what this endpoint does not do, or only so far. Source: MQTT 5.0 §3.2.2.3."""
        settings = self._settings
        limits: Properties = {
            "receive_maximum": settings.max_inflight,
            "maximum_qos": 1,
            "retain_available": 0,
            "maximum_packet_size": settings.max_packet_bytes,
            "topic_alias_maximum": _MOST_ALIASES,
            "subscription_identifier_available": 0,
            "shared_subscription_available": 0,
        }
        if not packet.client_id:
            limits["assigned_client_identifier"] = client_id
        if session.expiry_s != packet.properties.get("session_expiry_interval", 0):
            limits["session_expiry_interval"] = session.expiry_s
        if not 0 < packet.keep_alive_s <= settings.keep_alive_most_s:
            self._keep_alive_s = settings.keep_alive_most_s
            limits["server_keep_alive"] = settings.keep_alive_most_s
        return limits

    def _send_again(self, session: Session) -> None:
        """Repeat what was not confirmed on the last connection. Source: MQTT 5.0 §4.4."""
        for number, publish in session.outbound.items():
            self._send(Publish(publish.topic, publish.payload, 1, number, False, True, publish.properties))

    def _publish(self, packet: Publish) -> None:
        if packet.qos == 2:
            raise ProtocolError(Reason.QOS_NOT_SUPPORTED, "a publish of QoS 2")
        if self.version == V5:
            packet = self._resolve_alias(packet)
            if packet.retain:
                raise ProtocolError(Reason.RETAIN_NOT_SUPPORTED, "a retained publish")
            if packet.qos and self._uplink.unfinished >= self._settings.max_inflight:
                raise ProtocolError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more publishes than the receive maximum")
        content = self._endpoint.reader.read(packet, self.device_id or "")
        self._uplink.put(Message(packet.packet_id, content, self.heard_at_s))

    def _resolve_alias(self, packet: Publish) -> Publish:
        """Replace a topic alias by its topic. Source: MQTT 5.0 §3.3.2.3.4."""
        if "subscription_identifier" in packet.properties:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "a subscription identifier from a client")
        alias = packet.properties.get("topic_alias")
        if alias is None:
            return packet
        if not 0 < alias <= _MOST_ALIASES:
            raise ProtocolError(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias}")
        if packet.topic:
            self._aliases[alias] = packet.topic
            return packet
        if alias not in self._aliases:
            raise ProtocolError(Reason.PROTOCOL_ERROR, f"topic alias {alias} was not introduced")
        topic = self._aliases[alias]
        return Publish(
            topic, packet.payload, packet.qos, packet.packet_id, packet.retain, packet.duplicate, packet.properties
        )

    def _subscribe(self, packet: Subscribe) -> None:
        if "subscription_identifier" in packet.properties:
            raise ProtocolError(Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "a subscription identifier")
        heard: list[str] = []
        reasons = [self._grant(one, heard) for one in packet.requests]
        if self.version != V5:
            reasons = [0x80 if reason >= 0x80 else reason for reason in reasons]
        self._send(SubAck(packet.packet_id, tuple(reasons)))
        self._announce(heard)

    def _grant(self, request: SubscriptionRequest, heard: list[str]) -> int:
        if request.topic_filter.startswith("$share/"):
            return Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not is_filter(request.topic_filter):
            return Reason.TOPIC_FILTER_INVALID
        devices = self._heard(request.topic_filter)
        if not devices or self.session is None:
            return Reason.NOT_AUTHORISED
        qos = min(request.qos, 1)
        if not self.session.subscribe(request.topic_filter, qos):
            return Reason.QUOTA_EXCEEDED
        heard.extend(devices)
        return qos

    def _heard(self, topic_filter: str) -> list[str]:
        return hears(self._endpoint.directory, self.device_id or "", topic_filter)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        session = self.session
        reasons = [
            Reason.SUCCESS if session is not None and session.unsubscribe(text) else Reason.NO_SUBSCRIPTION_EXISTED
            for text in packet.filters
        ]
        self._send(UnsubAck(packet.packet_id, tuple(reasons)))

    def _disconnect(self, packet: Disconnect) -> None:
        if self.session is not None and "session_expiry_interval" in packet.properties:
            self.session.expiry_s = min(packet.properties["session_expiry_interval"], self._settings.session_expiry_s)
        self.end(None, "closed")

    def _is(self, state: State) -> bool:
        return self.state == state

    # -- ways out ------------------------------------------------------------------------------------------------

    def _acknowledge(self, packet_ids: list[int]) -> None:
        """Tell the device that its messages are durable."""
        if self.state == "open":
            self._write(encode_pubacks(packet_ids))

    def _make_room(self) -> None:
        room = self._uplink.unfinished < self._settings.max_inflight
        if room and self._paused and self.state == "open" and self._transport is not None:
            self._paused = False
            self.heard_at_s = self._endpoint.loop_time()
            self._transport.resume_reading()

    def _pause_if_full(self) -> None:
        full = self._uplink.unfinished >= self._settings.max_inflight
        if full and not self._paused and self.state == "open" and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _refuse(self, reason: Reason) -> None:
        """Answer CONNECT with a refusal, and close."""
        self._endpoint.counters.refused()
        code = int(reason) if self.version == V5 else _V311_CODES.get(reason, _NOT_AUTHORISED_V311)
        self._send(ConnAck(code))
        self.end(None, "closed")

    def _fail(self, error: ProtocolError) -> None:
        self._endpoint.counters.protocol_error()
        _log.info("mqtt: closing the connection of %s: %s", self.device_id or "a stranger", error)
        if error.reason is Reason.UNSUPPORTED_VERSION and self.state == "new":
            self.version = 4
            self._send(ConnAck(1))
        self._uplink.flush()
        self.end(error.reason, "protocol_error")

    def _send(self, packet: Packet) -> None:
        data = encode(packet, self.version)
        if self._largest_to_peer is None or len(data) <= self._largest_to_peer:
            self._write(data)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._settings.max_write_bytes:
            _log.info("mqtt: cutting %s off: it does not read what it is sent", self.device_id)
            self.state = "closed"
            transport.abort()
