"""Reads from one external broker: what it delivers is confirmed to it only when it is durable here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gulou.connectivity.intake import Flaw, Payload, Receipt, Submission
from gulou.kernel.errors import Invalid, Unavailable
from gulou.sensing.adapters.mqtt.settings import BrokerSettings
from gulou.sensing.sdk import AdapterContext, Counters, ReadContext, TopicPattern

_log = logging.getLogger(__name__)
_KEPT_RAW_BYTES = 65_536
_SESSION_EXPIRY_S = 86_400
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0


class BrokerClient:
    """One external broker. A persistent session and late acknowledgements: after a break, or a crash here, the broker
    delivers again what was not durable. The broker's own thread reads; waiting for room pauses it.
    """

    def __init__(self, settings: BrokerSettings, context: AdapterContext, counters: Counters, adapter: str) -> None:
        self.settings = settings
        self.source = f"mqtt:{settings.name}"
        self._context = context
        self._counters = counters
        self._adapter = adapter
        self._stopping = threading.Event()
        self._slots = threading.Semaphore(settings.max_waiting)
        self._connected = threading.Event()
        self._problem = ""
        self._filters: list[str] = []
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether it is connected and subscribed."""
        return self._connected.is_set()

    @property
    def problem(self) -> str:
        """What went wrong last; empty when connected."""
        return "" if self.connected else self._problem

    def start(self) -> None:
        """Begin to connect; returns at once, and goes on trying until ``stop``."""
        host, port = self.settings.host, self.settings.port
        if self.settings.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            self._client.connect_async(host, port, keepalive=30, clean_start=False, properties=properties)
        else:
            self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()

    def stop(self, timeout_s: float) -> None:
        """Disconnect after what was taken is durable. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        deadline_s = time.monotonic() + timeout_s
        for _ in range(self.settings.max_waiting):  # every slot free: nothing is under way
            if not self._slots.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
                break
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()

    def refresh(self) -> None:
        """Subscribe to the filters of mappings that were loaded meanwhile; any thread."""
        if self.connected:
            self._subscribe(self._client)

    def _make_client(self) -> paho.Client:
        settings = self.settings
        version5 = settings.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id or f"gulou-{settings.name}",
            clean_session=None if version5 else False,
            protocol=paho.MQTTv5 if version5 else paho.MQTTv311,
            manual_ack=True,
        )
        client.reconnect_delay_set(
            min_delay=max(1, round(settings.retry_s)), max_delay=max(1, round(settings.retry_most_s))
        )
        client.connect_timeout = 5.0
        if settings.username is not None:
            secret = settings.password.get_secret_value() if settings.password is not None else None
            client.username_pw_set(settings.username, secret)
        if settings.tls:
            client.tls_set(ca_certs=str(settings.ca_file) if settings.ca_file is not None else None)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._problem = str(reason)
            self._counters.refused()
            return
        self._counters.opened()
        self._filters = []
        self._subscribe(client)
        self._connected.set()

    def _subscribe(self, client: paho.Client) -> None:
        wanted = list(self.settings.topics) or [
            pattern.text for mapping in self._context.mappings.all() for pattern in mapping.patterns
        ]
        plain = [TopicPattern(text).plain for text in dict.fromkeys(wanted)]
        fresh = [text for text in plain if text not in self._filters]
        if fresh:
            client.subscribe([(text, 1) for text in fresh])
            self._filters += fresh

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.is_set():
            self._connected.clear()
            self._counters.closed()
        self._problem = str(reason)
        if not self._stopping.is_set():
            _log.info("mqtt: the broker %s is gone: %s", self.settings.name, reason)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        """On paho's thread; waits here when too much is under way, so that the broker waits too."""
        came_at_s = time.monotonic()
        while not self._slots.acquire(timeout=_LONGEST_WAIT_S):
            if self._stopping.is_set():
                return  # not confirmed: the broker delivers it again
        payload = self._read(message)
        confirm = _confirmation(client, message)
        self._submit(Submission(self.source, self._adapter, (payload,)), confirm, came_at_s)

    def _submit(self, submission: Submission, confirm: Callable[[], None] | None, came_at_s: float) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                future = self._context.intake.submit(submission)
            except Unavailable as error:
                if confirm is None or self._stopping.wait(wait_s):
                    self._give_up(submission, confirm, error.code)
                    return
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            except Invalid as error:
                submission = _refused(submission, error)
            else:
                future.add_done_callback(partial(self._durable, submission, confirm, came_at_s))
                return

    def _durable(
        self, submission: Submission, confirm: Callable[[], None] | None, came_at_s: float, done: Future[Receipt]
    ) -> None:
        error = done.exception()
        if error is not None:
            self._give_up(submission, confirm, "intake.failed")
            _log.warning("mqtt: a message of %s was not stored: %s", self.settings.name, error)
            return
        self._counters.took(done.result(), time.monotonic() - came_at_s)
        if confirm is not None:
            confirm()
        self._slots.release()

    def _give_up(self, submission: Submission, confirm: Callable[[], None] | None, code: str) -> None:
        """Not confirmed, the broker delivers it again at the next connection; at QoS 0 it is lost, and counted."""
        if confirm is None:
            count = sum(len(one.readings) + len(one.flaws) for one in submission.payloads)
            self._context.intake.drop(self.source, count, code)
            self._counters.dropped(count)
        self._slots.release()

    def _read(self, message: paho.MQTTMessage) -> Payload:
        now_us = self._context.clock.now_us()
        raw = bytes(message.payload)
        mappings = self._context.mappings
        captures: dict[str, str] = {}
        mapping = None
        if self.settings.mapping is not None:
            mapping = mappings.find(self.settings.mapping)
            captures = _captures(self.settings.topics, message.topic)
        elif (found := mappings.find_topic(message.topic)) is not None:
            mapping, captures = found
        if mapping is None:
            code = "payload.topic_unknown" if self.settings.mapping is None else "mapping.unknown"
            flaw = Flaw(code, {"topic": message.topic[:200], "mapping": self.settings.mapping or ""})
            return Payload(raw[:_KEPT_RAW_BYTES], message.topic, (), (flaw,))
        return mapping.read(raw, message.topic, ReadContext(now_us, None, captures))


def _captures(filters: tuple[str, ...], topic: str) -> dict[str, str]:
    for text in filters:
        captures = TopicPattern(text).match(topic)
        if captures is not None:
            return captures
    return {}


def _confirmation(client: paho.Client, message: paho.MQTTMessage) -> Callable[[], None] | None:
    if message.qos == 0:
        return None

    def confirm() -> None:
        client.ack(message.mid, message.qos)

    return confirm


def _refused(submission: Submission, error: Invalid) -> Submission:
    payload = submission.payloads[0]
    flaw = Flaw(error.code, error.params)
    return Submission(
        submission.source, submission.adapter, (Payload(payload.raw, payload.address, (), (flaw,), payload.device_id),)
    )
