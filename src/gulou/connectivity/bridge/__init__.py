"""The bridge between two processes of one installation: typed calls, and messages of the bus, over a local socket."""

from gulou.connectivity.bridge.addresses import socket_address
from gulou.connectivity.bridge.client import BridgeClient
from gulou.connectivity.bridge.relay import Relay
from gulou.connectivity.bridge.server import BridgeServer
from gulou.connectivity.bridge.settings import BridgeSettings

__all__ = ["BridgeClient", "BridgeServer", "BridgeSettings", "Relay", "socket_address"]
