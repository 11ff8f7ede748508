"""Sessions: what the endpoint remembers of a device between connections. Only the endpoint's loop changes them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from gulou.sensing.adapters.mqtt.codec import Publish, Reason
from gulou.sensing.adapters.mqtt.endpoint.topics import command_topic
from gulou.sensing.sdk import TopicPattern

MOST_FILTERS = 64
_NEVER = 0xFFFFFFFF


class Line(Protocol):
    """What a session needs of its connection."""

    def deliver(self, publish: Publish) -> None:
        """Send a command's publish."""

    def has_room(self) -> bool:
        """Tell whether another command can be sent now. Any thread."""

    def end(self, reason: Reason | None, why: str) -> None:
        """Close from our side."""


class Session:
    """One client of one device.

    Args:
        expiry_s: how long it is kept after the connection ends; 0: not at all.
    """

    def __init__(self, device_id: str, client_id: str, expiry_s: int) -> None:
        self.device_id = device_id
        self.client_id = client_id
        self.expiry_s = expiry_s
        self.connection: Line | None = None
        self.ended_at_s = 0.0
        self.outbound: OrderedDict[int, Publish] = OrderedDict()
        self.filters: tuple[tuple[str, int], ...] = ()  # replaced as a whole: other threads read it
        self._patterns: tuple[tuple[TopicPattern, int], ...] = ()
        self._last_id = 0

    def subscribe(self, topic_filter: str, qos: int) -> bool:
        """Add or replace a filter; False when there are too many."""
        kept = tuple(one for one in self.filters if one[0] != topic_filter)
        if len(kept) >= MOST_FILTERS:
            return False
        self._set((*kept, (topic_filter, qos)))
        return True

    def unsubscribe(self, topic_filter: str) -> bool:
        """Take a filter away; False when it was not there."""
        kept = tuple(one for one in self.filters if one[0] != topic_filter)
        existed = len(kept) != len(self.filters)
        self._set(kept)
        return existed

    def _set(self, filters: tuple[tuple[str, int], ...]) -> None:
        self.filters = filters
        self._patterns = tuple((TopicPattern(text), qos) for text, qos in filters)

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
    """All sessions, by device and client id: a device can't take another device's session over."""

    def __init__(self, most: int, expiry_most_s: int) -> None:
        self._most = most
        self._expiry_most_s = expiry_most_s
        self._all: dict[tuple[str, str], Session] = {}
        self._away: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._live: dict[str, tuple[Session, ...]] = {}  # values are replaced as a whole: other threads read them

    def __len__(self) -> int:
        return len(self._all)

    def open(self, device_id: str, client_id: str, *, clean: bool, expiry_s: int) -> tuple[Session, bool]:
        """Return the session to go on with, and whether it was there before."""
        key = (device_id, client_id)
        session = self._all.get(key)
        self._away.pop(key, None)
        present = session is not None and not clean
        if session is None or clean:
            session = Session(device_id, client_id, expiry_s)
            self._all[key] = session
        session.expiry_s = min(expiry_s, self._expiry_most_s)
        return session, present

    def find(self, device_id: str, client_id: str) -> Session | None:
        """Return a session, or None."""
        return self._all.get((device_id, client_id))

    def attach(self, session: Session, connection: Line) -> bool:
        """Note that a session has a connection; True when its device had none before."""
        session.connection = connection
        live = self._live.get(session.device_id, ())
        self._live[session.device_id] = (*(one for one in live if one is not session), session)
        return not live

    def detach(self, session: Session, now_s: float) -> bool:
        """Note that a session's connection is gone; True when its device has none left."""
        session.connection = None
        session.ended_at_s = now_s
        key = (session.device_id, session.client_id)
        live = tuple(one for one in self._live.get(session.device_id, ()) if one is not session)
        if live:
            self._live[session.device_id] = live
        else:
            self._live.pop(session.device_id, None)
        if self._all.get(key) is session:
            if session.expiry_s:
                self._away[key] = session
                self._away.move_to_end(key)
            else:
                del self._all[key]
        while len(self._away) > self._most:
            oldest, _ = self._away.popitem(last=False)
            self._all.pop(oldest, None)
        return not live

    def lines(self, device_id: str) -> list[Line]:
        """Return the open connections of a device."""
        return [one.connection for one in self._live.get(device_id, ()) if one.connection is not None]

    def forget(self, device_id: str) -> None:
        """Drop everything that is remembered of a device; what is still connected ends by itself."""
        for key in [key for key in self._all if key[0] == device_id]:
            self._away.pop(key, None)
            del self._all[key]

    def forget_expired(self, now_s: float) -> None:
        """Drop the sessions whose time is over."""
        over = [key for key, one in self._away.items() if now_s - one.ended_at_s >= one.expiry_s]
        for key in over:
            del self._away[key]
            self._all.pop(key, None)

    def reach(self, device_id: str, gateway_id: str | None) -> tuple[Session, int] | None:
        """Return a connected session that hears a device's commands, the newest first, and its QoS. Any thread."""
        for speaker in (device_id, gateway_id):
            for session in reversed(self._live.get(speaker, ()) if speaker is not None else ()):
                qos = session.granted(device_id)
                if qos is not None and session.connection is not None:
                    return session, qos
        return None
