"""The bus: upward messages, in process by default."""

from gulou.connectivity.bus.bus_memory import MemoryBus
from gulou.connectivity.bus.bus_threads import InProcessBus
from gulou.connectivity.bus.delivery import deliver
from gulou.connectivity.bus.encoding import decode_message, encode_message
from gulou.connectivity.bus.model import SubscriberStatus, TimerStatus
from gulou.connectivity.bus.ports import Bus, Message, Subscription, message_kinds

__all__ = [
    "Bus",
    "InProcessBus",
    "MemoryBus",
    "Message",
    "SubscriberStatus",
    "Subscription",
    "TimerStatus",
    "decode_message",
    "deliver",
    "encode_message",
    "message_kinds",
]
