"""What a device may hear and say beyond its own topics: topic filters in the labels of its registration.

``mqtt.subscribe`` and ``mqtt.publish`` hold filters with commas between; ``mqtt.subscribe.2`` and so on hold further
ones. The tree ``gulou/`` cannot be granted: readings and commands are never another device's.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from gulou.sensing.adapters.mqtt.endpoint.topics import ROOT
from gulou.sensing.sdk import DeviceDirectory, TopicPattern, is_filter

_log = logging.getLogger(__name__)
HEAR, SAY = "mqtt.subscribe", "mqtt.publish"
_REMEMBERED = 20_000


class Granted:
    """The granted filters of one version of one device."""

    __slots__ = ("hear", "labels", "say")

    def __init__(self, device_id: str, labels: dict[str, str]) -> None:
        self.labels = labels
        self.hear = _patterns(device_id, labels, HEAR)
        self.say = _patterns(device_id, labels, SAY)


class Grants:
    """Answers from the registry's present state; remembers what it has read of it. One thread.

    Who has no such label costs one look-up.
    """

    def __init__(self, directory: DeviceDirectory) -> None:
        self._directory = directory
        self._known: OrderedDict[str, Granted] = OrderedDict()

    def may_say(self, device_id: str, topic: str) -> bool:
        """Tell whether a device may publish to a topic for other devices."""
        return not is_own_tree(topic) and any(one.match(topic) is not None for one in self._of(device_id).say)

    def may_hear(self, device_id: str, topic: str) -> bool:
        """Tell whether what is published to a topic may reach a device."""
        return not is_own_tree(topic) and any(one.match(topic) is not None for one in self._of(device_id).hear)

    def may_subscribe(self, device_id: str, topic_filter: str) -> bool:
        """Tell whether a filter reaches anything that the device may hear; delivery looks at each topic again."""
        if is_own_tree(topic_filter):
            return False
        return any(overlap(topic_filter, one.text) for one in self._of(device_id).hear)

    def _of(self, device_id: str) -> Granted:
        device = self._directory.find_device(device_id)
        labels = device.labels if device is not None and device.enabled else {}
        known = self._known.get(device_id)
        if known is not None and (known.labels is labels or known.labels == labels):
            return known
        known = self._known[device_id] = Granted(device_id, labels)
        self._known.move_to_end(device_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known


def is_own_tree(topic: str) -> bool:
    """Tell whether a topic or filter lies in the endpoint's own tree."""
    return topic == ROOT or topic.startswith(ROOT + "/")


def overlap(first: str, second: str) -> bool:
    """Tell whether some topic matches both of two valid filters. Source: MQTT 5.0 §4.7."""
    one, two = first.split("/"), second.split("/")
    if (one[0] in ("+", "#") and two[0].startswith("$")) or (two[0] in ("+", "#") and one[0].startswith("$")):
        return False
    for depth in range(max(len(one), len(two))):
        left = one[depth] if depth < len(one) else None
        right = two[depth] if depth < len(two) else None
        if "#" in (left, right):
            return True
        if left is None or right is None:
            return False
        if left != right and "+" not in (left, right):
            return False
    return True


def _patterns(device_id: str, labels: dict[str, str], name: str) -> tuple[TopicPattern, ...]:
    filters = [
        text.strip()
        for label, value in labels.items()
        if label == name or label.startswith(name + ".")
        for text in value.split(",")
        if text.strip()
    ]
    wrong = [text for text in filters if not is_filter(text) or is_own_tree(text)]
    if wrong:
        _log.warning("mqtt: labels of %s grant what is no topic filter, or not to be granted: %s", device_id, wrong)
    return tuple(TopicPattern(text) for text in dict.fromkeys(filters) if text not in wrong)
