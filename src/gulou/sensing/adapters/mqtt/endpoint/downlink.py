"""What one connection sends down: flow control, topic aliases, packet size, both acknowledged qualities of service."""

from __future__ import annotations

from collections.abc import Callable

from gulou.kernel.clock import SECOND_US, Clock
from gulou.sensing.adapters.mqtt.codec import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    V5,
    Packet,
    Properties,
    Publish,
    Qos2Step,
    Reason,
    encode,
)
from gulou.sensing.adapters.mqtt.endpoint.exchange import Exchange
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.sessions import Outgoing, Session

_MOST_ALIASES = 64


class Downlink:
    """The way down of one open connection. Lives on the endpoint's loop.

    Args:
        window: publishes of QoS 1 and 2 that may be unconfirmed at once.
        largest: the largest packet that the device takes, bytes; None: any.
        aliases: how many topic aliases the device takes.
        write: sends bytes.
        choked: tells that the device does not read; what waits then waits on.
    """

    def __init__(
        self,
        session: Session,
        version: int,
        exchange: Exchange,
        store: SessionStore,
        clock: Clock,
        write: Callable[[bytes], None],
        choked: Callable[[], bool],
        *,
        window: int,
        largest: int | None,
        aliases: int,
    ) -> None:
        self._session = session
        self._version = version
        self._exchange = exchange
        self._store = store
        self._clock = clock
        self._write = write
        self._choked = choked
        self._window = window
        self._largest = largest
        self._most_aliases = min(aliases, _MOST_ALIASES)
        self._aliases: dict[str, int] = {}
        self._pumping = False

    def has_room(self) -> bool:
        """Tell whether a command can be sent now. Any thread."""
        return len(self._session.outbound) < self._window

    def put(self, packet: Packet) -> None:
        """Send a packet that is no publish."""
        data = encode(packet, self._version)
        if self._largest is None or len(data) <= self._largest:
            self._write(data)

    def resume(self) -> None:
        """Repeat what was not confirmed on the last connection, in its order. Source: MQTT 5.0 §4.4."""
        for packet_id, message in list(self._session.outbound.items()):
            if message.released:
                self.put(Qos2Step(PUBREL, packet_id))
            elif not self._transmit(message, again=True):
                self._done(packet_id)
        self.pump()

    def command(self, publish: Publish) -> None:
        """Send a command; above QoS 0 it is kept until the device confirms it. Without room it is not sent."""
        session = self._session
        if len(session.outbound) >= self._window:
            return
        message = Outgoing(publish.topic, publish.payload, publish.qos, False, dict(publish.properties))
        seconds = message.properties.pop("message_expiry_interval", None)
        if seconds is not None:
            message.expires_at_us = self._clock.now_us() + seconds * SECOND_US
        if message.qos:
            self._begin(message)
        else:
            self._transmit(message)

    def pump(self) -> None:
        """Send what waits, as far as the device takes it."""
        session = self._session
        if self._pumping:
            return
        self._pumping = True
        try:
            while session.queue and not self._choked():
                if session.queue[0].qos and len(session.outbound) >= self._window:
                    return
                message = session.queue.popleft()
                self._exchange.taken(session, message)
                if message.qos:
                    self._begin(message)
                else:
                    self._transmit(message)
        finally:
            self._pumping = False

    # -- what the device answers ---------------------------------------------------------------------------------

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK."""
        message = self._session.outbound.get(packet_id)
        if message is not None and message.qos == 1:
            self._done(packet_id)
            self.pump()

    def step(self, step: Qos2Step) -> None:
        """PUBREC or PUBCOMP. Source: MQTT 5.0 §4.3.3."""
        message = self._session.outbound.get(step.packet_id)
        if message is None or message.qos != 2:
            if step.kind == PUBREC and step.reason < 0x80:
                self.put(Qos2Step(PUBREL, step.packet_id, self._unknown()))
        elif step.kind == PUBCOMP or step.reason >= 0x80:
            self._done(step.packet_id)
        else:
            message.released = True
            message.payload = b""
            self._store.message(self._session, message)
            self.put(Qos2Step(PUBREL, step.packet_id))
        self.pump()

    def release(self, packet_id: int) -> None:
        """PUBREL for a message of the device: its identifier is free again."""
        known = self._session.received.get(packet_id) is True
        if known:
            del self._session.received[packet_id]
            self._store.session(self._session)
        self.put(Qos2Step(PUBCOMP, packet_id, Reason.SUCCESS if known else self._unknown()))

    # -- inside --------------------------------------------------------------------------------------------------

    def _unknown(self) -> int:
        return Reason.PACKET_ID_UNKNOWN if self._version == V5 else 0

    def _begin(self, message: Outgoing) -> None:
        message.packet_id = self._session.take_packet_id()
        self._session.outbound[message.packet_id] = message
        if self._transmit(message):
            self._store.message(self._session, message)
        else:
            self._done(message.packet_id)

    def _done(self, packet_id: int) -> None:
        message = self._session.outbound.pop(packet_id, None)
        if message is not None:
            self._store.confirmed(message)

    def _transmit(self, message: Outgoing, *, again: bool = False) -> bool:
        """Send one publish; False when it is over or too large for the device, and so is done with.

        Source: MQTT 5.0 §3.3.2.3.3, §3.1.2.11.4.
        """
        left_us = None if message.expires_at_us is None else message.expires_at_us - self._clock.now_us()
        if left_us is not None and left_us <= 0:
            return False
        topic, properties, alias = message.topic, message.properties, 0
        if self._version == V5:
            properties = dict(properties)
            if left_us is not None:
                properties["message_expiry_interval"] = min(-(-left_us // SECOND_US), 0xFFFFFFFF)
            if self._most_aliases:
                topic, alias = self._alias(topic, properties)
        publish = Publish(topic, message.payload, message.qos, message.packet_id, message.retain, again, properties)
        data = encode(publish, self._version)
        if self._largest is not None and len(data) > self._largest:
            return False
        if alias:
            self._aliases[message.topic] = alias
        self._write(data)
        return True

    def _alias(self, topic: str, properties: Properties) -> tuple[str, int]:
        """Use a topic's alias, or give it one while there are any left: then it counts once the packet has gone."""
        known = self._aliases.get(topic)
        if known is not None:
            properties["topic_alias"] = known
            return "", 0
        if len(self._aliases) >= self._most_aliases:
            return topic, 0
        properties["topic_alias"] = len(self._aliases) + 1
        return topic, len(self._aliases) + 1
