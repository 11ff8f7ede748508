"""HTTP ingest behind a real web server, under the contract that every adapter passes."""

from __future__ import annotations

import pytest

from gulou.sensing.adapters.http.tests.http_peer import HttpPeer, ServedHttpAdapter
from gulou.sensing.sdk import Adapter, AdapterContext
from gulou.sensing.sdk.contract import CommandContract, Peer, UplinkContract

pytestmark = pytest.mark.integration


class _Http:
    def make(self, context: AdapterContext) -> Adapter:
        return ServedHttpAdapter(context)

    def connect(self, adapter: Adapter, device_id: str, secret: str) -> Peer:
        return HttpPeer(adapter.address, device_id, secret)


class TestUplink(_Http, UplinkContract):
    pass


class TestCommands(_Http, CommandContract):
    pass
