"""What the context says on the bus."""

from __future__ import annotations

from gulou.connectivity.bus import Message


class EntityChanged(Message, frozen=True, kw_only=True):
    """An entity is not as it was; at most one message an entity and log record.

    Carries no values: whoever shows it asks for it, and so shows the newest. Subscribe with ``lossless=False``.

    Args:
        properties: attributes that changed; empty when the entity was deleted.
        deleted: it is gone.
    """

    entity_id: str
    entity_type: str
    properties: tuple[str, ...]
    deleted: bool = False
