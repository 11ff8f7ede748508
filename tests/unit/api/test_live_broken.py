"""A connection that breaks ends quietly: it happens each time that somebody closes a laptop."""

from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocket

from gulou.access import Principal
from gulou.api.live import LiveHub


class Torn:
    """A client that signs in, is accepted, and whose connection breaks at its first word."""

    def __init__(self):
        self.messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]

    async def receive(self):
        return self.messages.pop(0)

    async def send(self, message):
        if message["type"] != "websocket.accept":
            raise OSError("broken pipe")


@pytest.mark.parametrize("times", [1, 3])
def test_a_torn_connection_raises_nothing_and_is_forgotten(city, times):
    hub = LiveHub(city.services)
    for _ in range(times):
        torn = Torn()
        socket = WebSocket({"type": "websocket", "headers": [], "path": "/"}, torn.receive, torn.send)
        asyncio.run(hub.serve(socket, Principal.system("test")))
    assert hub.count() == 0
