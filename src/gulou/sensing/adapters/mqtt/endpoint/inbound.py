"""What one connection has begun to receive: topic aliases, the receive maximum, exchanges of QoS 2, refusals."""

from __future__ import annotations

from collections.abc import Callable

from gulou.sensing.adapters.mqtt.codec import (
    PUBREC,
    V5,
    Packet,
    ProtocolError,
    PubAck,
    Publish,
    Qos2Step,
    Reason,
    encode_pubacks,
)
from gulou.sensing.adapters.mqtt.codec import encode as encoded
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session

MOST_ALIASES = 64
LONGEST_NAME = 1_024


class Inbound:
    """The receiving side of one open connection. Lives on the endpoint's loop.

    Args:
        limit: the receive maximum.
        unfinished: how many messages of the connection are not yet durable.
        send: sends a packet, while the connection is open.
        received: told of messages of QoS 2 that are durable; confirms them when they are noted.
    """

    def __init__(
        self,
        session: Session,
        version: int,
        limit: int,
        unfinished: Callable[[], int],
        send: Callable[[Packet], None],
        received: Callable[[Session, list[int]], None],
    ) -> None:
        self._session = session
        self._version = version
        self._limit = limit
        self._unfinished = unfinished
        self._send = send
        self._received = received
        self._aliases: dict[int, str] = {}
        self._refusals: dict[int, int] = {}
        self._begun = 0

    def room(self) -> int:
        """Return how many more messages an MQTT 5 device may send before it has broken its word."""
        return self._limit - len(self._session.received) - self._unfinished() + self._begun

    def resolve(self, packet: Publish) -> Publish:
        """Check an MQTT 5 publish's properties, and replace a topic alias by its topic.

        Source: MQTT 5.0 §3.3.2.3.4, §3.3.2.3.5.
        """
        if not packet.properties:
            return packet
        if "subscription_identifier" in packet.properties:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "a subscription identifier from a client")
        response = packet.properties.get("response_topic", "")
        if "+" in response or "#" in response:
            raise ProtocolError(Reason.PROTOCOL_ERROR, "a response topic with a wildcard")
        alias = packet.properties.get("topic_alias")
        if alias is None:
            return packet
        if not 0 < alias <= MOST_ALIASES:
            raise ProtocolError(Reason.TOPIC_ALIAS_INVALID, f"topic alias {alias}")
        if packet.topic:
            if len(packet.topic) > LONGEST_NAME:
                raise ProtocolError(Reason.TOPIC_NAME_INVALID, "a topic too long for an alias")
            self._aliases[alias] = packet.topic
            return packet
        if alias not in self._aliases:
            raise ProtocolError(Reason.PROTOCOL_ERROR, f"topic alias {alias} was not introduced")
        topic = self._aliases[alias]
        return Publish(
            topic, packet.payload, packet.qos, packet.packet_id, packet.retain, packet.duplicate, packet.properties
        )

    def is_repeated(self, packet: Publish) -> bool:
        """Note a publish above QoS 0; True when it is of QoS 2 and has come before.

        Source: MQTT 5.0 §3.3.4, §4.3.3.

        Raises:
            ProtocolError: it is one more than the receive maximum. 3.1.1 knows none; but exchanges of QoS 2 that are
                never finished are bounded all the same.
        """
        received = self._session.received
        number = packet.packet_id or 0
        if number not in received and (packet.qos == 2 or self._version == V5):
            left = self.room() if self._version == V5 else self._limit - len(received)
            if left <= 0:
                raise ProtocolError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "more publishes than the receive maximum")
        if packet.qos == 1:
            return False
        durable = received.get(number)
        if durable is None:
            received[number] = False
            self._begun += 1
            return False
        if durable:
            self._send(Qos2Step(PUBREC, number))
        return True

    def refuse(self, packet_id: int, reason: int) -> None:
        """Note that a message's acknowledgement is to say why it was not taken."""
        self._refusals[packet_id] = reason

    def acknowledge(self, packet_ids: list[int]) -> bytes:
        """Return the PUBACKs for messages that are durable; those of QoS 2 are confirmed on their own way."""
        if self._begun:
            packet_ids = self._acknowledge_qos_2(packet_ids)
        if not self._refusals:
            return encode_pubacks(packet_ids)
        return b"".join(
            [encoded(PubAck(number, self._refusals.pop(number, 0)), self._version) for number in packet_ids]
        )

    def _acknowledge_qos_2(self, packet_ids: list[int]) -> list[int]:
        """Acknowledge those of QoS 2; returns the others. A refused one is over with its PUBREC."""
        received = self._session.received
        ours = [number for number in packet_ids if received.get(number) is False]
        self._begun -= len(ours)
        for number in [number for number in ours if number in self._refusals]:
            del received[number]
            self._send(Qos2Step(PUBREC, number, self._refusals.pop(number)))
        taken = [number for number in ours if number in received]
        for number in taken:
            received[number] = True
        if taken:
            self._received(self._session, taken)
        return [number for number in packet_ids if number not in ours]

    def give_up(self, packet_ids: list[int]) -> None:
        """What could not be made durable is the device's again; who has sent it anew meanwhile has to come again."""
        session = self._session
        for number in packet_ids:
            if session.received.get(number) is False:
                del session.received[number]
                self._begun -= 1
                if session.connection is not None:
                    session.connection.end(Reason.SERVER_BUSY, "closed")
