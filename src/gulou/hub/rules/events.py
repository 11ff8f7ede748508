"""What the rules say on the bus."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gulou.connectivity.bus import Message


class ProposedCommand(msgspec.Struct, frozen=True):
    """A command that a rule asks for; ``approval`` says whether a person must say yes first.

    Args:
        device_id: resolved already: the device that drives the target entity.
        effect: ``{"entity_id", "property", "value", "tolerance"}`` or None.
    """

    device_id: str
    name: str
    parameters: dict[str, Any]
    approval: str = "none"  # none | person
    effect: dict[str, Any] | None = None


class Detection(Message, frozen=True, kw_only=True):
    """A rule found (``state=raised``), found changed severity (``changed``), or no longer finds (``cleared``) its
    condition on one entity.

    Args:
        id: deterministic: the same readings give the same id, also after a crash (``<rule>/<entity>/<raised_at_us>``,
            with ``/1`` behind it for the second that is raised at one instant); the states of one occurrence share it.
        rule_id: ``<pack>/<rule>``.
        severity: ``blue``, ``yellow``, ``orange`` or ``red`` (GB/T 35965 colours, Ⅳ to Ⅰ).
        headline, description: texts by language, ``{"en": …, "zh": …}``, already filled in with the values.
        values: the expression's inputs at this moment: series → value.
        location: GeoJSON geometry of the entity, if it has one (lon, lat, EPSG:4326).
        opens_incident: the pack says that this warning opens an incident by itself.
        department: to whom the pack sends it.
        deadline_s: time to close the incident.
        n: how many times the occurrence had changed since it was raised, this change included: 0 where it is raised.
    """

    id: str
    state: str
    rule_id: str
    rule_version: str
    entity_id: str
    entity_type: str
    severity: str
    category: str
    headline: dict[str, str]
    description: dict[str, str]
    raised_at_us: int
    values: dict[str, Any]
    location: dict[str, Any] | None = None
    commands: tuple[ProposedCommand, ...] = ()
    opens_incident: bool = False
    department: str | None = None
    deadline_s: float | None = None
    n: int = 0

    def key(self) -> str:
        """Return what identifies this message of its occurrence: 32 hexadecimal digits, the same after a crash."""
        return self.name(f"{self.id}|{self.state}|{self.severity}|{self.n}")

    def name(self, text: str) -> str:
        """Return a name for what follows from this message: its time and a text's hash, 14 and 18 hexadecimal digits.

        Names sort by time, so that a store adds them at one end of its index; hashes alone would each touch another
        page of it, and the more the larger it has grown.
        """
        return f"{self.at_us:014x}{hashlib.blake2b(text.encode(), digest_size=9).hexdigest()}"


class RuleSetChanged(Message, frozen=True, kw_only=True):
    """Rules were loaded, changed or removed."""

    pack: str
    rules: int


class RuleQuarantined(Message, frozen=True, kw_only=True):
    """A rule was put aside: it kept failing, or cost more than its budget; it judges nothing until it is released.

    Args:
        rule_id: ``<pack>/<rule>``.
    """

    rule_id: str
    reason: str


class RuleReleased(Message, frozen=True, kw_only=True):
    """A person let a rule that was put aside judge again; it begins anew."""

    rule_id: str
