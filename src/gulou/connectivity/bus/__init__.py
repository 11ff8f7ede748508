"""The bus: upward messages, in process by default."""

from gulou.connectivity.bus.bus_memory import MemoryBus
from gulou.connectivity.bus.bus_threads import InProcessBus
from gulou.connectivity.bus.delivery import deliver
from gulou.connectivity.bus.model import SubscriberStatus
from gulou.connectivity.bus.ports import Bus, Message, Subscription

__all__ = ["Bus", "InProcessBus", "MemoryBus", "Message", "SubscriberStatus", "Subscription", "deliver"]
