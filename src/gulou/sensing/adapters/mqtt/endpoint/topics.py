"""The topics that every device has, and who may speak for whom."""

from __future__ import annotations

from typing import Literal, cast

from gulou.sensing.sdk import DeviceDirectory, matches

ROOT = "gulou"
Leaf = Literal["readings", "senml", "acks"]
_LEAVES = frozenset(("readings", "senml", "acks"))


def command_topic(device_id: str) -> str:
    """Return where a device hears its commands."""
    return f"{ROOT}/{device_id}/commands"


def parse_device_topic(topic: str) -> tuple[str, Leaf] | None:
    """Split ``gulou/<device>/<leaf>``; None for every other topic."""
    parts = topic.split("/")
    if len(parts) != 3 or parts[0] != ROOT or not parts[1] or parts[2] not in _LEAVES:
        return None
    return parts[1], cast("Leaf", parts[2])


def may_speak_for(directory: DeviceDirectory, device_id: str, other_id: str) -> bool:
    """Tell whether a connected device may speak for another: itself, or a child of this gateway."""
    if device_id == other_id:
        return True
    other = directory.find_device(other_id)
    return other is not None and other.gateway_id == device_id


def hears(directory: DeviceDirectory, device_id: str, topic_filter: str) -> list[str]:
    """Return the devices whose commands a filter reaches, of those that this device may hear."""
    own = [device_id] if matches(topic_filter, command_topic(device_id)) else []
    if topic_filter == command_topic(device_id):
        return own
    children = directory.children(device_id)
    return own + [child for child in children if matches(topic_filter, command_topic(child))]
