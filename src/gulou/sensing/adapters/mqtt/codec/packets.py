"""MQTT control packets as frozen values; no bytes, no sockets."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

Properties = dict[str, Any]
"""MQTT 5 properties by snake-case name; ``user_property`` is a list of pairs, and a publish's
``subscription_identifier`` a list of numbers. Empty for 3.1.1."""

V311 = 4
V5 = 5


class Reason(IntEnum):
    """Reason codes that the endpoint sends or meets. Source: MQTT 5.0 §2.4, table 2-6."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    NOT_ACCEPTED = 0x83
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_INVALID = 0x85
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORISED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_ID_UNKNOWN = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1


class ProtocolError(Exception):
    """The peer does not keep to MQTT; its connection ends, nobody else's.

    Args:
        reason: what an MQTT 5 peer is told.
        detail: for the log.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason.name.lower()}: {detail}")


class Will(msgspec.Struct, frozen=True):
    """What a client wants published when it dies."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = {}


class Connect(msgspec.Struct, frozen=True):
    """Opens a session. ``version`` is 4 for MQTT 3.1.1, 5 for MQTT 5. Source: MQTT 5.0 §3.1."""

    client_id: str
    version: int = V311
    clean_start: bool = True
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = {}


class ConnAck(msgspec.Struct, frozen=True):
    """Answers Connect; ``code`` is a v5 reason, or the v3.1.1 return code."""

    code: int
    session_present: bool = False
    properties: Properties = {}


class Publish(msgspec.Struct, frozen=True):
    """Carries a message. ``packet_id`` is None at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int | None = None
    retain: bool = False
    duplicate: bool = False
    properties: Properties = {}


class PubAck(msgspec.Struct, frozen=True):
    """Answers a Publish of QoS 1."""

    packet_id: int
    reason: int = 0
    properties: Properties = {}


PUBREC, PUBREL, PUBCOMP = 5, 6, 7


class Qos2Step(msgspec.Struct, frozen=True):
    """A step of QoS 2: ``kind`` is PUBREC, PUBREL or PUBCOMP. Source: MQTT 5.0 §4.3.3."""

    kind: int
    packet_id: int
    reason: int = 0
    properties: Properties = {}


class SubscriptionRequest(msgspec.Struct, frozen=True):
    """One filter of a Subscribe."""

    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    """Asks for messages."""

    packet_id: int
    requests: tuple[SubscriptionRequest, ...]
    properties: Properties = {}


class SubAck(msgspec.Struct, frozen=True):
    """Answers Subscribe: a granted QoS or a refusal for each filter."""

    packet_id: int
    reasons: tuple[int, ...]
    properties: Properties = {}


class Unsubscribe(msgspec.Struct, frozen=True):
    """Takes filters back."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = {}


class UnsubAck(msgspec.Struct, frozen=True):
    """Answers Unsubscribe; 3.1.1 carries no reasons."""

    packet_id: int
    reasons: tuple[int, ...] = ()
    properties: Properties = {}


class PingReq(msgspec.Struct, frozen=True):
    """A sign of life."""


class PingResp(msgspec.Struct, frozen=True):
    """Its answer."""


class Disconnect(msgspec.Struct, frozen=True):
    """Ends the connection on purpose."""

    reason: int = 0
    properties: Properties = {}


class Auth(msgspec.Struct, frozen=True):
    """Extended authentication, MQTT 5; decoded so that it can be refused."""

    reason: int = 0
    properties: Properties = {}


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | Qos2Step
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)
