"""Messages between devices, on topics that they are granted: who hears what, retained messages, waiting messages.

Whoever is not granted a topic in the registration neither reaches anybody on it nor hears it. Lives on the endpoint's
loop.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import msgspec

from gulou.kernel.clock import SECOND_US, Clock
from gulou.sensing.adapters.mqtt.codec import Properties, Publish
from gulou.sensing.adapters.mqtt.endpoint.grants import Grants, is_own_tree
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.sessions import Outgoing, Session, Subscription
from gulou.sensing.adapters.mqtt.endpoint.tree import TopicTree
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import Counters

_PASSED_ON = (
    "payload_format_indicator",
    "content_type",
    "response_topic",
    "correlation_data",
    "user_property",
)
Member = tuple[str, str]


class Sender(Protocol):
    """Who publishes: a session, or what is left of one (a will)."""

    @property
    def key(self) -> Member: ...


class _Match(msgspec.Struct):
    """One session's matching subscriptions, merged: it gets one copy, at the best QoS."""

    qos: int
    retain: bool
    identifiers: list[int]


class Exchange:
    """Subscriptions of all sessions on granted topics, and the retained messages of those topics."""

    def __init__(
        self, settings: MqttSettings, grants: Grants, store: SessionStore, counters: Counters, clock: Clock
    ) -> None:
        self._settings = settings
        self._grants = grants
        self._store = store
        self._counters = counters
        self._clock = clock
        self._tree: TopicTree[Member, tuple[Session, Subscription]] = TopicTree()
        self._shared: TopicTree[tuple[str, str], OrderedDict[Member, tuple[Session, Subscription]]] = TopicTree()
        self._groups: dict[tuple[str, str], OrderedDict[Member, tuple[Session, Subscription]]] = {}
        self._retained: TopicTree[str, Outgoing] = TopicTree()
        self._retained_bytes = 0
        self._queued_bytes = 0

    @property
    def queued_bytes(self) -> int:
        """Payload bytes that wait for devices, in all sessions."""
        return self._queued_bytes

    # -- subscriptions -------------------------------------------------------------------------------------------

    def join(self, session: Session, subscription: Subscription) -> None:
        """Let a session hear a filter."""
        share = subscription.share
        if share is None:
            if not is_own_tree(subscription.topic_filter):
                self._tree.put(subscription.topic_filter, session.key, (session, subscription))
            return
        group = self._groups.get(share)
        if group is None:
            group = self._groups[share] = OrderedDict()
            self._shared.put(share[1], share, group)
        group[session.key] = (session, subscription)

    def leave(self, session: Session, subscription: Subscription) -> None:
        """Let a session hear a filter no more."""
        share = subscription.share
        if share is None:
            self._tree.remove(subscription.topic_filter, session.key)
            return
        group = self._groups.get(share)
        if group is not None and group.pop(session.key, None) is not None and not group:
            del self._groups[share]
            self._shared.remove(share[1], share)

    def restore(self, sessions: list[Session], retained: list[Outgoing]) -> None:
        """Take what the store has kept."""
        for session in sessions:
            self._queued_bytes += session.queued_bytes
            for subscription in session.subscriptions.values():
                self.join(session, subscription)
        for message in retained:
            self._retained.put(message.topic, message.topic, message)
            self._retained_bytes += len(message.payload)

    def forget(self, session: Session) -> None:
        """A session is over."""
        for subscription in session.subscriptions.values():
            self.leave(session, subscription)
        self._queued_bytes -= session.queued_bytes
        session.queue.clear()
        session.queued_bytes = 0

    # -- messages ------------------------------------------------------------------------------------------------

    def publish(self, sender: Sender, publish: Publish) -> tuple[int, bool]:
        """Pass a message on to whoever hears its topic; the caller has checked that the sender may say it.

        Returns:
            How many sessions it is for, and whether one of them (or the retained message) is kept on disk: the
            acknowledgement then waits for ``SessionStore.kept``.
        """
        found = self._hearers(sender.key, publish)
        kept = publish.retain and self._retain(publish)
        for session, match in found:
            message = self._message(publish, min(publish.qos, match.qos), match)
            if match.retain:
                message.retain = publish.retain
            kept |= self.hand(session, message)
        return len(found), kept

    def hand(self, session: Session, message: Outgoing) -> bool:
        """Put a message into a session's queue, and send what can be sent; True when it has to be kept on disk."""
        line = session.connection
        if line is None and message.qos == 0:
            return False
        settings = self._settings
        size = len(message.payload)
        if len(session.queue) >= settings.max_queued or self._queued_bytes + size > settings.max_queued_bytes:
            self._counters.relay_dropped()
            return False
        session.queue.append(message)
        session.queued_bytes += size
        self._queued_bytes += size
        keep = message.qos > 0 and session.expiry_s > 0
        if keep:
            self._store.message(session, message)
        if line is not None:
            line.pump()
        return keep

    def taken(self, session: Session, message: Outgoing) -> None:
        """Note that a message has left its session's queue."""
        size = len(message.payload)
        session.queued_bytes -= size
        self._queued_bytes -= size

    def greet(self, session: Session, subscription: Subscription) -> None:
        """Give a new subscription the retained messages that it may hear. Source: MQTT 5.0 §3.3.1.3."""
        if not len(self._retained) or subscription.share is not None or is_own_tree(subscription.topic_filter):
            return
        now_us = self._clock.now_us()
        for topic, kept in list(self._retained.under(subscription.topic_filter)):
            if kept.expires_at_us is not None and kept.expires_at_us <= now_us:
                self._drop_retained(topic)
            elif self._grants.may_hear(session.device_id, topic):
                properties = dict(kept.properties)
                if subscription.identifier is not None:
                    properties["subscription_identifier"] = [subscription.identifier]
                qos = min(kept.qos, subscription.qos)
                self.hand(session, Outgoing(topic, kept.payload, qos, True, properties, kept.expires_at_us))

    # -- inside --------------------------------------------------------------------------------------------------

    def _hearers(self, sender: Member, publish: Publish) -> list[tuple[Session, _Match]]:
        found: dict[Member, tuple[Session, _Match]] = {}
        for member, (session, subscription) in self._tree.matching(publish.topic):
            if subscription.no_local and member == sender:
                continue
            known = found.get(member)
            if known is None:
                if not self._grants.may_hear(session.device_id, publish.topic):
                    continue
                known = found[member] = session, _Match(0, False, [])
            _merge(known[1], subscription)
        hearers = list(found.values())
        for _, group in list(self._shared.matching(publish.topic)):
            chosen = self._choose(group, publish.topic)
            if chosen is not None:
                match = _Match(0, False, [])
                _merge(match, chosen[1])
                hearers.append((chosen[0], match))
        return hearers

    def _choose(
        self, group: OrderedDict[Member, tuple[Session, Subscription]], topic: str
    ) -> tuple[Session, Subscription] | None:
        """Return a share's next member in turn: one that is connected, else any. Source: MQTT 5.0 §4.8.2."""
        allowed = [(key, one) for key, one in group.items() if self._grants.may_hear(one[0].device_id, topic)]
        here = [(key, one) for key, one in allowed if one[0].connection is not None]
        for key, one in here or allowed:
            group.move_to_end(key)
            return one
        return None

    def _message(self, publish: Publish, qos: int, match: _Match) -> Outgoing:
        properties: Properties = {name: publish.properties[name] for name in _PASSED_ON if name in publish.properties}
        if match.identifiers:
            properties["subscription_identifier"] = match.identifiers
        return Outgoing(publish.topic, publish.payload, qos, False, properties, self._expiry(publish))

    def _expiry(self, publish: Publish) -> int | None:
        seconds = publish.properties.get("message_expiry_interval")
        return None if seconds is None else self._clock.now_us() + int(seconds) * SECOND_US

    def _retain(self, publish: Publish) -> bool:
        """Keep or clear a topic's retained message; one that has no room is not kept, and counted."""
        topic = publish.topic
        self._drop_retained(topic)
        if not publish.payload:
            return True
        settings = self._settings
        size = len(publish.payload)
        if len(self._retained) >= settings.max_retained or self._retained_bytes + size > settings.max_retained_bytes:
            self._counters.relay_dropped()
            return False
        message = self._message(publish, publish.qos, _Match(0, True, []))
        message.retain = True
        self._retained.put(topic, topic, message)
        self._retained_bytes += size
        self._store.retained(topic, message)
        return True

    def _drop_retained(self, topic: str) -> None:
        known = self._retained.get(topic, topic)
        if known is not None:
            self._retained.remove(topic, topic)
            self._retained_bytes -= len(known.payload)
            self._store.retained(topic, None)


def _merge(match: _Match, subscription: Subscription) -> None:
    match.qos = max(match.qos, subscription.qos)
    match.retain |= subscription.retain_as_published
    if subscription.identifier is not None:
        match.identifiers.append(subscription.identifier)
