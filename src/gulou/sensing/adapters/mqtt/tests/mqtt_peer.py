"""A device that speaks MQTT over a plain socket, byte by byte, by our own codec's other half."""

from __future__ import annotations

import json
import socket
from collections import deque
from contextlib import suppress
from typing import Any

from gulou.sensing.adapters.mqtt.codec import (
    ConnAck,
    Connect,
    Framer,
    Packet,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    encode,
)
from gulou.sensing.sdk.contract import Peer


class MqttPeer(Peer):
    def __init__(
        self,
        address: tuple[str, int],
        device_id: str,
        secret: str,
        *,
        version: int = 4,
        subscribe: bool = True,
        **more: Any,
    ) -> None:
        self.version = version
        self.device_id = device_id
        self.socket = socket.create_connection(address, 10)
        self._framer = Framer(10_000_000, version)
        self._packets: deque[Packet] = deque()
        self._next_id = 0
        connect = {"client_id": device_id, "username": device_id, "password": secret.encode(), **more}
        self.put(Connect(version=version, **connect))
        self.connack = self.expect(ConnAck)
        if self.connack is None or self.connack.code:
            self.socket.close()
            raise ConnectionError(f"refused: {self.connack}")
        if subscribe:
            self.put(Subscribe(self.new_id(), (SubscriptionRequest(f"gulou/{device_id}/commands", 1),)))
            self.suback = self.expect(SubAck)

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def put(self, packet: Packet) -> None:
        self.write(encode(packet, self.version))

    def write(self, data: bytes) -> None:
        with suppress(OSError):
            self.socket.sendall(data)

    def publish(self, topic: str, payload: bytes, qos: int = 1, **more: Any) -> None:
        self.put(Publish(topic, payload, qos, self.new_id() if qos else None, **more))

    def frame(self, values: dict[str, float], at: str) -> bytes:
        payload = json.dumps({**values, "observedAt": at}).encode()
        return encode(Publish(f"gulou/{self.device_id}/readings", payload, 1, self.new_id()), self.version)

    def malformed(self) -> bytes:
        return encode(Publish(f"gulou/{self.device_id}/readings", b"{no json", 1, self.new_id()), self.version)

    def oversized(self) -> bytes:
        return b"\x32\xff\xff\xff\x7f"

    def receive(self, timeout_s: float) -> Packet | None:
        """The next packet; None when none comes in time. Raises ConnectionError at the end."""
        while not self._packets:
            self.socket.settimeout(timeout_s)
            try:
                data = self.socket.recv(65_536)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionError("closed")
            self._packets.extend(self._framer.feed(data))
        return self._packets.popleft()

    def expect(self, kind: type, timeout_s: float = 10.0) -> Any:
        """The next packet of that kind; others wait behind. None: none came, or the connection ended."""
        aside: list[Packet] = []
        try:
            while (packet := self.receive(timeout_s)) is not None:
                if isinstance(packet, kind):
                    return packet
                aside.append(packet)
        except OSError:
            pass
        finally:
            self._packets.extendleft(reversed(aside))
        return None

    def wait_acknowledged(self, timeout_s: float) -> bool:
        return self.expect(PubAck, timeout_s) is not None

    def wait_closed(self, timeout_s: float) -> bool:
        try:
            while self.receive(timeout_s) is not None:
                pass
        except OSError:
            return True
        return False

    def next_command(self, timeout_s: float) -> str | None:
        publish = self.expect(Publish, timeout_s)
        if publish is None:
            return None
        if publish.packet_id is not None:
            self.put(PubAck(publish.packet_id))
        return str(json.loads(publish.payload)["id"])

    def answer(self, command_id: str, ok: bool) -> None:
        self.publish(f"gulou/{self.device_id}/acks", json.dumps({"id": command_id, "ok": ok}).encode())

    def close(self) -> None:
        self.socket.close()
