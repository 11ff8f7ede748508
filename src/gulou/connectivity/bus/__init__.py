"""The bus: upward messages, in process by default."""

from gulou.connectivity.bus.ports import Bus, Message, Subscription

__all__ = ["Bus", "Message", "Subscription"]
