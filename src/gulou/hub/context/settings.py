"""Settings of the context."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class ContextSettings(Settings):
    """What is true now: how often it is saved, and how much is answered at once."""

    background: bool = setting(True, description="Save in an own thread; off for stories and tests.")
    save_s: float = setting(2.0, gt=0, le=3600, unit="s", description="How often changed entities are saved.")
    max_page: int = setting(1_000, ge=1, unit="entities", description="Entities that one page may hold at most.")
    max_places: int = setting(200_000, ge=1, unit="entities", description="Places that one map request may get.")
    max_entity_bytes: int = setting(
        1_048_576, ge=1024, unit="bytes", description="Size of an entity in NGSI-LD JSON, when written directly."
    )
    max_attributes: int = setting(1_000, ge=1, unit="attributes", description="Attributes of one entity at most.")
