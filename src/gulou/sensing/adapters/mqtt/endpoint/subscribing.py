"""SUBSCRIBE and UNSUBSCRIBE: a device's own commands, and the topics that it is granted."""

from __future__ import annotations

from typing import Protocol

from gulou.sensing.adapters.mqtt.codec import (
    ProtocolError,
    Reason,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from gulou.sensing.adapters.mqtt.endpoint.exchange import Exchange
from gulou.sensing.adapters.mqtt.endpoint.grants import Grants
from gulou.sensing.adapters.mqtt.endpoint.inbound import LONGEST_NAME
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session, Subscription
from gulou.sensing.adapters.mqtt.endpoint.topics import hears
from gulou.sensing.sdk import DeviceDirectory, is_filter


class Parts(Protocol):
    """What is needed of the endpoint."""

    directory: DeviceDirectory
    grants: Grants
    exchange: Exchange
    store: SessionStore


class Answer:
    """What became of a SUBSCRIBE.

    Attributes:
        reasons: for SUBACK, one for each filter.
        heard: the devices whose commands are heard now.
        greeted: the subscriptions that retained messages are to be sent for, after SUBACK.
    """

    def __init__(self) -> None:
        self.reasons: list[int] = []
        self.heard: list[str] = []
        self.greeted: list[Subscription] = []


def subscribe(parts: Parts, session: Session, packet: Subscribe) -> Answer:
    """Let a session hear what it may. Source: MQTT 5.0 §3.8.

    Raises:
        ProtocolError: a subscription identifier of 0, or a share that does not hear itself.
    """
    identifier = packet.properties.get("subscription_identifier")
    if identifier == 0:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "a subscription identifier of 0")
    answer = Answer()
    for request in packet.requests:
        answer.reasons.append(_grant(parts, session, request, identifier, answer))
    parts.store.session(session)
    return answer


def unsubscribe(parts: Parts, session: Session, packet: Unsubscribe) -> tuple[int, ...]:
    """Take filters away; returns a reason for each. Source: MQTT 5.0 §3.10."""
    reasons: list[int] = []
    for text in packet.filters:
        known = session.subscriptions.get(text)
        if known is not None:
            session.unsubscribe(text)
            parts.exchange.leave(session, known)
        reasons.append(Reason.SUCCESS if known is not None else Reason.NO_SUBSCRIPTION_EXISTED)
    parts.store.session(session)
    return tuple(reasons)


def commands_heard(parts: Parts, session: Session) -> list[str]:
    """Return the devices whose commands a session hears."""
    own = [one.topic_filter for one in session.subscriptions.values() if one.share is None]
    return [device for text in own for device in hears(parts.directory, session.device_id, text)]


def _grant(parts: Parts, session: Session, request: SubscriptionRequest, identifier: int | None, answer: Answer) -> int:
    text = request.topic_filter
    wanted = Subscription(text, request.qos, request.no_local, request.retain_as_published, identifier)
    share = wanted.share
    if share is not None and request.no_local:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "a share that does not hear itself")
    topic_filter = text if share is None else share[1]
    if not is_filter(topic_filter) or len(text) > LONGEST_NAME:
        return Reason.TOPIC_FILTER_INVALID
    if share is not None and (not share[0] or "+" in share[0] or "#" in share[0]):
        return Reason.TOPIC_FILTER_INVALID
    devices = hears(parts.directory, session.device_id, topic_filter) if share is None else []
    if not devices and not parts.grants.may_subscribe(session.device_id, topic_filter):
        return Reason.NOT_AUTHORISED
    fresh = text not in session.subscriptions
    if not session.subscribe(wanted):
        return Reason.QUOTA_EXCEEDED
    parts.exchange.join(session, wanted)
    answer.heard += devices
    if request.retain_handling == 0 or (request.retain_handling == 1 and fresh):
        answer.greeted.append(wanted)
    return request.qos
