"""One device's connection: the MQTT conversation, from CONNECT to the last byte. Lives on the endpoint's loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, cast

from gulou.kernel.clock import Clock
from gulou.sensing.adapters.mqtt.codec import (
    PUBREC,
    PUBREL,
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
    UnsubAck,
    Unsubscribe,
    Will,
    encode,
)
from gulou.sensing.adapters.mqtt.endpoint.downlink import Downlink
from gulou.sensing.adapters.mqtt.endpoint.exchange import Exchange
from gulou.sensing.adapters.mqtt.endpoint.fast import Lane
from gulou.sensing.adapters.mqtt.endpoint.grants import Grants, is_own_tree
from gulou.sensing.adapters.mqtt.endpoint.inbound import LONGEST_NAME, MOST_ALIASES, Inbound
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.limits import Bucket
from gulou.sensing.adapters.mqtt.endpoint.reading import PublishReader
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session
from gulou.sensing.adapters.mqtt.endpoint.subscribing import commands_heard, subscribe, unsubscribe
from gulou.sensing.adapters.mqtt.endpoint.uplink import Message, Relayed, Uplink
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import Counters, DeviceDirectory

_log = logging.getLogger(__name__)
_MOST_CONNECT_BYTES = 65_536
_MOST_BACKLOG = 1_000
_CHOKED_BYTES = 65_536
_LINGER_S = 1.0
_FULL, _FAST, _ENDING = 1, 2, 4
_UNLIMITED = 2**31
_NOT_FOR_ALL = frozenset(("payload.topic_denied", "payload.topic_unknown", "device.unknown"))
_V311_CODES = {
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_INVALID: 2,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.SERVER_BUSY: 3,
    Reason.QUOTA_EXCEEDED: 3,
    Reason.CONNECTION_RATE_EXCEEDED: 3,
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
    grants: Grants
    exchange: Exchange
    store: SessionStore
    clock: Clock

    def loop_time(self) -> float: ...

    def admit(self, connection: Connection) -> bool: ...

    def forget(self, connection: Connection, reason: str) -> None: ...

    def new_uplink(
        self, acknowledge: Callable[[list[int]], None], ready: Callable[[], None], give_up: Callable[[list[int]], None]
    ) -> Uplink: ...

    def new_lane(self, connection: Connection, uplink: Uplink, device_id: str) -> Lane | None: ...

    def new_client_id(self) -> str: ...

    def check_credentials(self, connection: Connection, packet: Connect) -> None: ...

    def take_session(
        self, connection: Connection, device_id: str, client_id: str, clean: bool, expiry_s: int
    ) -> tuple[Session, bool] | None: ...

    def opened(self, connection: Connection, session: Session) -> Bucket: ...

    def announce(self, device_ids: list[str]) -> None: ...

    def relay(self, session: Session, publish: Publish) -> Relayed | None: ...

    def received(self, session: Session, packet_ids: list[int]) -> None: ...


class Connection(asyncio.Protocol):
    """The endpoint's side of one connection; whatever goes wrong here ends this connection only."""

    def __init__(self, endpoint: Host) -> None:
        self._endpoint = endpoint
        self._settings = endpoint.settings
        self._framer = Framer(min(endpoint.settings.max_packet_bytes, _MOST_CONNECT_BYTES))
        self._backlog: deque[Packet] = deque()
        self._transport: asyncio.Transport | None = None
        self._held = 0
        self._keep_alive_s = 0.0
        self._largest_to_peer: int | None = None
        self._choked_at_s: float | None = None
        self._reason = "closed"
        self._uplink = endpoint.new_uplink(self._acknowledge, self._make_room, self._give_up)
        self._lane: Lane | None = None
        self._downlink: Downlink | None = None
        self._inbound: Inbound | None = None
        self._bucket: Bucket | None = None
        self.state: State = "new"
        self.version = 4
        self.device_id: str | None = None
        self.session: Session | None = None
        self.will: Will | None = None
        self.address = ""
        self.certified: str | None = None
        self.heard_at_s = 0.0
        self.took_over = False

    # -- asyncio calls these -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, unless there are too many already."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=min(_CHOKED_BYTES, self._settings.max_write_bytes))
        self.heard_at_s = self._endpoint.loop_time()
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.certified = _common_name(transport.get_extra_info("peercert"))
        if not self._endpoint.admit(self):
            self.state = "closed"
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Follow the conversation as far as the bytes go."""
        if self.state == "closed":
            return
        self.heard_at_s = self._endpoint.loop_time()
        if self._lane is not None:
            self._lane.receive(data)
            return
        count = 0
        try:
            for packet in self._framer.feed(data):
                count += 1
                if self._is("closed"):
                    return
                if self._is("checking"):
                    if len(self._backlog) >= _MOST_BACKLOG:
                        raise ProtocolError(Reason.QUOTA_EXCEEDED, "too much was sent before CONNACK")
                    self._backlog.append(packet)
                else:
                    self._take(packet)
        except ProtocolError as error:
            self._fail(error)
        self._uplink.flush()
        self._pause_if_full()
        self.spend(count)

    def spend(self, count: int) -> None:
        """Count messages against the device's rate; beyond it, its reading pauses until the rate is kept."""
        if self._bucket is None or self.state != "open":
            return
        wait_s = self._bucket.spend(count, self.heard_at_s)
        if wait_s > 0 and not self._held & _FAST:
            self._hold(_FAST)
            self._endpoint.counters.throttled()
            asyncio.get_running_loop().call_later(wait_s, self._let_go, _FAST)

    def pause_writing(self) -> None:
        """The device does not read as quickly as it is sent."""
        self._choked_at_s = self._endpoint.loop_time()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._choked_at_s = None
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up; what is under way to the log still gets there."""
        if self._lane is not None:
            self._lane.leave()
        self.state = "closed"
        self._uplink.leave()
        self._endpoint.forget(self, self._reason)

    # -- the endpoint calls these --------------------------------------------------------------------------------

    def check_time(self, now_s: float) -> None:
        """End the connection if it has been silent too long, or has not read. Source: MQTT 5.0 §3.1.2.10."""
        silent_s = now_s - self.heard_at_s
        if self._choked_at_s is not None and now_s - self._choked_at_s > self._settings.write_timeout_s:
            self._cut_off()
        elif self.state in ("new", "checking"):
            if self.state == "new" and silent_s > self._settings.connect_timeout_s:
                self.end(None, "closed")
        elif self.state == "open" and self._keep_alive_s and silent_s > 1.5 * self._keep_alive_s and not self._held:
            self.end(Reason.KEEP_ALIVE_TIMEOUT, "keep_alive")

    def end(self, reason: Reason | None, why: str, *, linger: bool = False) -> None:
        """Close from our side; an MQTT 5 peer is told the reason.

        Args:
            linger: the peer may be sending still, and what it is told would be lost if its bytes met a closed socket:
                they are read and thrown away for a moment.
        """
        if self.state == "closed" or self._transport is None:
            return
        if reason is not None and self.state == "open" and self.version == V5:
            self._send(Disconnect(reason))
        self.state = "closed"
        self._reason = why
        if not linger or self._transport.get_extra_info("sslcontext") is not None or self._transport.is_closing():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(_LINGER_S, self._transport.abort)

    @property
    def unfinished(self) -> int:
        """Messages that are not yet durable."""
        return self._uplink.unfinished + (0 if self._lane is None else self._lane.unfinished)

    async def finish(self) -> None:
        """Take nothing more, and wait until what was taken is durable and acknowledged."""
        self._hold(_ENDING)
        if self._lane is not None:
            await self._lane.finish()
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
            if not self._held:
                self._transport.resume_reading()
            while self._backlog and self._is("open"):
                self._take(self._backlog.popleft())
        except ProtocolError as error:
            self._fail(error)
        self._uplink.flush()
        self._pause_if_full()
        if self._is("open"):
            self._lane = self._endpoint.new_lane(self, self._uplink, device_id)
        if self._lane is not None and self._framer.waiting:
            self._lane.receive(self._framer.release())

    # -- its quick way up calls these ----------------------------------------------------------------------------

    def is_open(self) -> bool:
        """Tell whether the conversation goes on."""
        return self.state == "open"

    def room(self) -> int:
        """Return how many more publishes of QoS 1 the receive maximum allows; 3.1.1 knows none."""
        return _UNLIMITED if self.version != V5 or self._inbound is None else self._inbound.room()

    def take_frames(self, data: bytes) -> None:
        """Follow the conversation through whole frames, or the beginning of one that is refused."""
        count = 0
        try:
            for packet in self._framer.feed(data):
                if self._is("closed"):
                    return
                self._take(packet)
                count += 1
        except ProtocolError as error:
            self._fail(error)
        self._uplink.flush()
        self.spend(count)

    def taken(self, count: int) -> None:
        """Note that bytes are worked off, and how many messages they were."""
        self._pause_if_full()
        self.spend(count)

    def write_acks(self, data: bytes) -> None:
        """Tell the device that its messages are durable."""
        if self.state == "open":
            self._write(data)

    def made_room(self) -> None:
        """Go on reading if that had stopped for want of room."""
        if self._held & _FULL and not self._is_full():
            self._let_go(_FULL)

    def deliver(self, publish: Publish) -> None:
        """Send one command's publish; above QoS 0 it is kept until the device confirms it."""
        if self._downlink is not None and self.state == "open":
            self._downlink.command(publish)

    def pump(self) -> None:
        """Send what waits in the session, as far as the device takes it."""
        if self._downlink is not None and self.state == "open":
            self._downlink.pump()

    def confirm_received(self, packet_ids: list[int]) -> None:
        """Send PUBREC for messages of QoS 2 that are durable."""
        if self.state == "open":
            for number in packet_ids:
                self._send(Qos2Step(PUBREC, number))

    def has_room(self) -> bool:
        """Tell whether another command can be sent now. Any thread."""
        downlink = self._downlink
        return self.state == "open" and downlink is not None and downlink.has_room()

    # -- the conversation ----------------------------------------------------------------------------------------

    def _take(self, packet: Packet) -> None:
        if self.state == "new":
            if not isinstance(packet, Connect):
                raise ProtocolError(Reason.PROTOCOL_ERROR, "the first packet is not CONNECT")
            self._connect(packet)
            return
        session, downlink, inbound = self.session, self._downlink, self._inbound
        if session is None or downlink is None or inbound is None:
            return
        match packet:
            case Publish():
                self._publish(packet, session, inbound)
            case PubAck():
                downlink.acknowledged(packet.packet_id)
            case Qos2Step(kind=kind):
                if kind == PUBREL:
                    downlink.release(packet.packet_id)
                else:
                    downlink.step(packet)
            case PingReq():
                self._send(PingResp())
            case Subscribe():
                self._subscribe(packet, session)
            case Unsubscribe():
                self._send(UnsubAck(packet.packet_id, unsubscribe(self._endpoint, session, packet)))
            case Disconnect():
                self._disconnect(packet, session)
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
        elif (not packet.client_id and not packet.clean_start and packet.version != V5) or (
            len(packet.client_id) > LONGEST_NAME
        ):
            self._refuse(Reason.CLIENT_ID_INVALID)
        elif self.certified is None and (packet.username is None or packet.password is None):
            self._refuse(Reason.NOT_AUTHORISED)
        else:
            self._endpoint.check_credentials(self, packet)

    def _open(self, packet: Connect, device_id: str) -> None:
        settings, properties, endpoint = self._settings, packet.properties, self._endpoint
        if 0 in (properties.get("receive_maximum"), properties.get("maximum_packet_size")):
            raise ProtocolError(Reason.PROTOCOL_ERROR, "a maximum of 0")
        client_id = packet.client_id or endpoint.new_client_id()
        expiry_s = settings.session_expiry_s
        if packet.version == V5:
            expiry_s = properties.get("session_expiry_interval", 0)
        elif packet.clean_start:
            expiry_s = 0
        self._keep_alive_s = packet.keep_alive_s
        taken = endpoint.take_session(self, device_id, client_id, packet.clean_start, expiry_s)
        if taken is None:
            self._refuse(Reason.QUOTA_EXCEEDED)
            return
        session, present = taken
        self.device_id, self.session, self.will = device_id, session, packet.will
        self.state = "open"
        self._framer.max_packet_bytes = settings.max_packet_bytes
        self._largest_to_peer = properties.get("maximum_packet_size")
        self._downlink = Downlink(
            session,
            packet.version,
            endpoint.exchange,
            endpoint.store,
            endpoint.clock,
            self._write,
            lambda: self._choked_at_s is not None or self.state != "open",
            window=min(settings.max_commands_inflight, properties.get("receive_maximum", 65_535)),
            largest=self._largest_to_peer,
            aliases=properties.get("topic_alias_maximum", 0),
        )
        self._inbound = Inbound(
            session,
            packet.version,
            settings.max_inflight,
            lambda: self.unfinished,
            self._send_if_open,
            endpoint.received,
        )
        answer = self._limits(packet, session, client_id) if packet.version == V5 else {}
        self._send(ConnAck(Reason.SUCCESS, present, answer))
        self._bucket = endpoint.opened(self, session)
        self._downlink.resume()
        self._announce(commands_heard(endpoint, session))

    def _announce(self, heard: list[str]) -> None:
        """Say whom we reach now; who reaches this device reaches its children by it."""
        if self.device_id in heard:
            heard = [self.device_id]
        if heard:
            self._endpoint.announce(heard)

    def _limits(self, packet: Connect, session: Session, client_id: str) -> Properties:
        """Say what this endpoint does only so far. Source: MQTT 5.0 §3.2.2.3."""
        settings = self._settings
        limits: Properties = {
            "receive_maximum": settings.max_inflight,
            "maximum_packet_size": settings.max_packet_bytes,
            "topic_alias_maximum": MOST_ALIASES,
        }
        if not packet.client_id:
            limits["assigned_client_identifier"] = client_id
        if session.expiry_s != packet.properties.get("session_expiry_interval", 0):
            limits["session_expiry_interval"] = session.expiry_s
        if not 0 < packet.keep_alive_s <= settings.keep_alive_most_s:
            self._keep_alive_s = settings.keep_alive_most_s
            limits["server_keep_alive"] = settings.keep_alive_most_s
        return limits

    def _publish(self, packet: Publish, session: Session, inbound: Inbound) -> None:
        if self.version == V5:
            packet = inbound.resolve(packet)
        if packet.qos and inbound.is_repeated(packet):
            return
        relayed = None if is_own_tree(packet.topic) else self._endpoint.relay(session, packet)
        if relayed is not None:
            if packet.qos or relayed.payload is not None:
                self._put(Message(packet.packet_id, relayed, self.heard_at_s))
            return
        content = self._endpoint.reader.read(packet, session.device_id)
        if packet.packet_id is not None and self.version == V5:
            flaws = getattr(content, "flaws", ())
            if flaws and flaws[0].code in _NOT_FOR_ALL:
                inbound.refuse(packet.packet_id, Reason.NOT_AUTHORISED)
        self._put(Message(packet.packet_id, content, self.heard_at_s))

    def _put(self, message: Message) -> None:
        """Send a message up, behind all that came before it."""
        if self._lane is None:
            self._uplink.put(message)
        else:
            self._lane.put(message)

    def _subscribe(self, packet: Subscribe, session: Session) -> None:
        answer = subscribe(self._endpoint, session, packet)
        reasons = answer.reasons
        if self.version != V5:
            reasons = [0x80 if reason >= 0x80 else reason for reason in reasons]
        self._send(SubAck(packet.packet_id, tuple(reasons)))
        for subscription in answer.greeted:
            self._endpoint.exchange.greet(session, subscription)
        self._announce(answer.heard)

    def _disconnect(self, packet: Disconnect, session: Session) -> None:
        """A farewell: the will goes, unless it is asked for. Source: MQTT 5.0 §3.14."""
        expiry_s = packet.properties.get("session_expiry_interval")
        if expiry_s is not None:
            if expiry_s and not session.expiry_s:
                raise ProtocolError(Reason.PROTOCOL_ERROR, "a session that was to end is to be kept")
            session.expiry_s = min(expiry_s, self._settings.session_expiry_s)
        if packet.reason == Reason.SUCCESS:
            self.will = None
        self.end(None, "closed")

    def _is(self, state: State) -> bool:
        return self.state == state

    # -- ways out ------------------------------------------------------------------------------------------------

    def _acknowledge(self, packet_ids: list[int]) -> None:
        """Tell the device that its messages are durable."""
        if self._inbound is None:
            return
        data = self._inbound.acknowledge(packet_ids)
        if self.state == "open":
            self._write(data)

    def _give_up(self, packet_ids: list[int]) -> None:
        if self._inbound is not None:
            self._inbound.give_up(packet_ids)

    def _hold(self, why: int) -> None:
        """Stop reading for a reason; it goes on when no reason is left."""
        if not self._held and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held |= why

    def _let_go(self, why: int) -> None:
        if not self._held & why:
            return
        self._held &= ~why
        if not self._held and self.state == "open" and self._transport is not None:
            self.heard_at_s = self._endpoint.loop_time()
            self._transport.resume_reading()

    def _make_room(self) -> None:
        if self._lane is not None:
            self._lane.went_on()
        elif not self._is_full():
            self._let_go(_FULL)

    def _pause_if_full(self) -> None:
        if self.state == "open" and self._is_full():
            self._hold(_FULL)

    def _is_full(self) -> bool:
        waiting_bytes = self._uplink.waiting_bytes + (0 if self._lane is None else self._lane.waiting_bytes)
        return self.unfinished >= self._settings.max_inflight or waiting_bytes >= self._settings.max_waiting_bytes

    def _refuse(self, reason: Reason) -> None:
        """Answer CONNECT with a refusal, and close."""
        self._endpoint.counters.refused()
        code = int(reason) if self.version == V5 else _V311_CODES.get(reason, _NOT_AUTHORISED_V311)
        self._send(ConnAck(code))
        self.end(None, "closed", linger=True)

    def _fail(self, error: ProtocolError) -> None:
        self._endpoint.counters.protocol_error()
        _log.info("mqtt: closing the connection of %s: %s", self.device_id or "a stranger", error)
        if error.reason is Reason.UNSUPPORTED_VERSION and self.state == "new":
            self.version = 4
            self._send(ConnAck(1))
        self._uplink.flush()
        self.end(error.reason, "protocol_error", linger=True)

    def _send_if_open(self, packet: Packet) -> None:
        if self.state == "open":
            self._send(packet)

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
            self._cut_off()

    def _cut_off(self) -> None:
        if self.state == "closed" and self._choked_at_s is None:
            return
        _log.info("mqtt: cutting %s off: it does not read what it is sent", self.device_id)
        self._endpoint.counters.cut_off()
        self.state = "closed"
        self._choked_at_s = None
        if self._transport is not None:
            self._transport.abort()


def _common_name(certificate: object) -> str | None:
    """Return the common name in a verified client certificate, as ``ssl`` gives it."""
    if not isinstance(certificate, dict):
        return None
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
