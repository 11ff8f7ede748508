"""Sessions: what the endpoint remembers of a device between connections. Only the endpoint's loop changes them."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Protocol

import msgspec

from gulou.sensing.adapters.mqtt.codec import Properties, Publish, Reason
from gulou.sensing.adapters.mqtt.endpoint.topics import command_topic
from gulou.sensing.sdk import TopicPattern

MOST_FILTERS = 64
SHARE = "$share/"


class Subscription(msgspec.Struct, frozen=True):
    """A filter that a session has, with what was asked for and granted.

    Args:
        identifier: given back with each message that the filter matches; None: none.
    """

    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int | None = None

    @property
    def share(self) -> tuple[str, str] | None:
        """The share's name and its filter; None for a subscription of one's own. Source: MQTT 5.0 §4.8.2."""
        if not self.topic_filter.startswith(SHARE):
            return None
        name, _, rest = self.topic_filter[len(SHARE) :].partition("/")
        return name, rest


class Outgoing(msgspec.Struct):
    """A message on its way to a device.

    Args:
        expires_at_us: after it, it is not sent any more; None: never.
        number: under which the store keeps it; 0: not kept.
        packet_id: None until it is first sent.
        released: at QoS 2, the device has it and only the end of the exchange is missing.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    properties: Properties = {}
    expires_at_us: int | None = None
    number: int = 0
    packet_id: int | None = None
    released: bool = False


class Line(Protocol):
    """What a session needs of its connection."""

    def deliver(self, publish: Publish) -> None:
        """Send a command's publish."""

    def has_room(self) -> bool:
        """Tell whether another command can be sent now. Any thread."""

    def end(self, reason: Reason | None, why: str) -> None:
        """Close from our side."""

    def pump(self) -> None:
        """Send what waits in the session, as far as the device takes it."""

    def confirm_received(self, packet_ids: list[int]) -> None:
        """Send PUBREC for messages of QoS 2 that are durable."""


class Session:
    """One client of one device.

    Args:
        expiry_s: how long it is kept after the connection ends; 0: not at all.

    Attributes:
        outbound: sent and not yet confirmed, by packet identifier.
        queue: waiting to be sent.
        queued_bytes: payload bytes in ``queue``.
        received: packet identifiers of QoS 2 messages that the device has not released; True once durable.
    """

    def __init__(self, device_id: str, client_id: str, expiry_s: int) -> None:
        self.device_id = device_id
        self.client_id = client_id
        self.expiry_s = expiry_s
        self.connection: Line | None = None
        self.ended_at_us = 0
        self.outbound: OrderedDict[int, Outgoing] = OrderedDict()
        self.queue: deque[Outgoing] = deque()
        self.queued_bytes = 0
        self.received: dict[int, bool] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self._patterns: tuple[tuple[TopicPattern, int], ...] = ()  # replaced as a whole: other threads read it
        self._last_id = 0

    @property
    def key(self) -> tuple[str, str]:
        """Device id and client id."""
        return self.device_id, self.client_id

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that it has, those of shares too."""
        return tuple(self.subscriptions)

    def subscribe(self, subscription: Subscription) -> bool:
        """Add or replace a filter; False when there are too many."""
        known = subscription.topic_filter in self.subscriptions
        if not known and len(self.subscriptions) >= MOST_FILTERS:
            return False
        self.subscriptions[subscription.topic_filter] = subscription
        self._read_patterns()
        return True

    def unsubscribe(self, topic_filter: str) -> bool:
        """Take a filter away; False when it was not there."""
        existed = self.subscriptions.pop(topic_filter, None) is not None
        self._read_patterns()
        return existed

    def _read_patterns(self) -> None:
        self._patterns = tuple(
            (TopicPattern(one.topic_filter), one.qos) for one in self.subscriptions.values() if one.share is None
        )

    def granted(self, device_id: str) -> int | None:
        """Return the QoS at which it hears a device's commands; None: not at all. Any thread."""
        topic = command_topic(device_id)
        found = [qos for pattern, qos in self._patterns if pattern.match(topic) is not None]
        return max(found) if found else None

    def take_packet_id(self) -> int:
        """Return a packet identifier that is not in flight."""
        while True:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id not in self.outbound:
                return self._last_id


class Sessions:
    """All sessions, by device and client id: a device can't take another device's session over.

    Args:
        most: sessions that are kept without a connection; beyond, the one longest away goes.
        expiry_most_s: longest time that one is kept.
    """

    def __init__(self, most: int, expiry_most_s: int) -> None:
        self._most = most
        self._expiry_most_s = expiry_most_s
        self._all: dict[tuple[str, str], Session] = {}
        self._away: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._live: dict[str, tuple[Session, ...]] = {}  # values are replaced as a whole: other threads read them
        self._ended: list[Session] = []

    def __len__(self) -> int:
        return len(self._all)

    def open(self, device_id: str, client_id: str, *, clean: bool, expiry_s: int) -> tuple[Session, bool]:
        """Return the session to go on with, and whether it was there before."""
        key = (device_id, client_id)
        session = self._all.get(key)
        self._away.pop(key, None)
        present = session is not None and not clean
        if session is None or clean:
            if session is not None:
                self._ended.append(session)
            session = Session(device_id, client_id, expiry_s)
            self._all[key] = session
        session.expiry_s = min(expiry_s, self._expiry_most_s)
        return session, present

    def restore(self, session: Session) -> None:
        """Take a session that the store has kept; it is away. The one longest away comes first."""
        self._all[session.key] = session
        self._away[session.key] = session
        if len(self._away) > self._most:
            self._end(next(iter(self._away)))

    def take_ended(self) -> list[Session]:
        """Return the sessions that have ended since the last call, for everybody else to forget them."""
        ended, self._ended = self._ended, []
        return ended

    def find(self, device_id: str, client_id: str) -> Session | None:
        """Return a session, or None."""
        return self._all.get((device_id, client_id))

    def attach(self, session: Session, connection: Line) -> bool:
        """Note that a session has a connection; True when its device had none before."""
        session.connection = connection
        live = self._live.get(session.device_id, ())
        self._live[session.device_id] = (*(one for one in live if one is not session), session)
        return not live

    def detach(self, session: Session, now_us: int) -> bool:
        """Note that a session's connection is gone; True when its device has none left."""
        session.connection = None
        session.ended_at_us = now_us
        live = tuple(one for one in self._live.get(session.device_id, ()) if one is not session)
        if live:
            self._live[session.device_id] = live
        else:
            self._live.pop(session.device_id, None)
        if self._all.get(session.key) is session:
            if session.expiry_s:
                self._away[session.key] = session
                self._away.move_to_end(session.key)
            else:
                self._end(session.key)
        while len(self._away) > self._most:
            self._end(next(iter(self._away)))
        return not live

    def lines(self, device_id: str) -> list[Line]:
        """Return the open connections of a device."""
        return [one.connection for one in self._live.get(device_id, ()) if one.connection is not None]

    def forget(self, device_id: str) -> None:
        """Drop everything that is remembered of a device; what is still connected ends by itself."""
        for key in [key for key in self._all if key[0] == device_id]:
            self._end(key)

    def forget_expired(self, now_us: int) -> None:
        """Drop the sessions whose time is over."""
        over = [key for key, one in self._away.items() if now_us - one.ended_at_us >= one.expiry_s * 1_000_000]
        for key in over:
            self._end(key)

    def _end(self, key: tuple[str, str]) -> None:
        self._away.pop(key, None)
        self._ended.append(self._all.pop(key))

    def reach(self, device_id: str, gateway_id: str | None) -> tuple[Session, int] | None:
        """Return a connected session that hears a device's commands, the newest first, and its QoS. Any thread."""
        for speaker in (device_id, gateway_id):
            for session in reversed(self._live.get(speaker, ()) if speaker is not None else ()):
                qos = session.granted(device_id)
                if qos is not None and session.connection is not None:
                    return session, qos
        return None
