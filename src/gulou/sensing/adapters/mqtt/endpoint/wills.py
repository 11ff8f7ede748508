"""Wills: what a device wants said when its connection ends without a farewell. Lives on the endpoint's loop.

Source: MQTT 5.0 §3.1.2.5, §3.1.3.2.2.
"""

from __future__ import annotations

from collections.abc import Callable

from gulou.sensing.adapters.mqtt.codec import Publish, Will
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session

_NOTED = 500


class Wills:
    """The wills of connections that are gone, each until it is due or its session goes on.

    Args:
        carry_out: publishes one; told whether that comes later than the device went.
    """

    def __init__(self, carry_out: Callable[[Session, Will, bool], None]) -> None:
        self._carry_out = carry_out
        self._waiting: dict[tuple[str, str], tuple[float, Session, Will]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def leave(self, session: Session, will: Will, now_s: float) -> bool:
        """A connection ended without a farewell. True when its will is carried out now, not after its delay."""
        delay_s = min(will.properties.get("will_delay_interval", 0), session.expiry_s)
        if delay_s:
            self._waiting[session.key] = (now_s + delay_s, session, will)
            return False
        self._carry_out(session, will, False)
        return True

    def cancel(self, session: Session) -> None:
        """The session goes on: its will is not carried out."""
        self._waiting.pop(session.key, None)

    def session_ended(self, session: Session) -> None:
        """A session is over: its will is due, however long its delay."""
        found = self._waiting.get(session.key)
        if found is not None and found[1] is session:
            del self._waiting[session.key]
            self._carry_out(session, found[2], True)

    def carry_out_due(self, now_s: float) -> None:
        """Carry out those whose delay is over."""
        due = [key for key, (due_s, _, _) in self._waiting.items() if due_s <= now_s]
        for key in due:
            _, session, will = self._waiting.pop(key)
            self._carry_out(session, will, True)


def publish_of(will: Will) -> Publish:
    """Return the publish that a will stands for."""
    properties = {name: value for name, value in will.properties.items() if name != "will_delay_interval"}
    return Publish(will.topic, will.payload, will.qos, None, will.retain, False, properties)


def note_of(will: Will) -> str:
    """Return what is noted of a will with the device's going offline: topic and payload, short and printable."""
    text = will.payload[: _NOTED * 4].decode("utf-8", "replace")
    return f"{will.topic[:200]}: {''.join(one if one.isprintable() else '·' for one in text[:_NOTED])}"
