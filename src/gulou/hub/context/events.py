"""What the context says on the bus."""

from __future__ import annotations

import msgspec

from gulou.connectivity.bus import Message


class EntityChange(msgspec.Struct, frozen=True):
    """An entity is not as it was.

    Args:
        properties: attributes that changed; empty when the entity was deleted.
        deleted: it is gone.
    """

    entity_id: str
    entity_type: str
    properties: tuple[str, ...]
    deleted: bool = False


class EntitiesChanged(Message, frozen=True, kw_only=True):
    """Entities are not as they were: each at most once in a message.

    Carries no values: whoever shows an entity asks for it, and so shows the newest. What readings change is gathered
    and told every ``tell_s``, of what somebody watches (``ContextService.watch``) and no more than ``tell_most``
    series at once, the longest waiting first; the others wait. What people and programs write is told at once.
    Subscribe with ``lossless=False``.
    """

    changes: tuple[EntityChange, ...]
