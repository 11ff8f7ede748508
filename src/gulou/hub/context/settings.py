"""Settings of the context."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class ContextSettings(Settings):
    """What is true now: how often it is saved, and how much is answered at once."""

    background: bool = setting(True, description="Save in an own thread; off for stories and tests.")
    save_s: float = setting(2.0, gt=0, le=3600, unit="s", description="How often changed entities are saved.")
    save_series_s: float = setting(
        15.0,
        gt=0,
        le=3600,
        unit="s",
        description="How often the newest values of numeric series are saved.",
    )
    tell_s: float = setting(0.2, ge=0.02, le=60, unit="s", description="How often live clients hear of changed values.")
    tell_most: int = setting(
        2_000, ge=1, le=100_000, unit="series", description="Changed series that are told at once; the others wait."
    )
    max_page: int = setting(1_000, ge=1, unit="entities", description="Entities that one page may hold at most.")
    max_places: int = setting(200_000, ge=1, unit="entities", description="Places that one map request may get.")
    max_entity_bytes: int = setting(
        1_048_576, ge=1024, unit="bytes", description="Size of an entity in NGSI-LD JSON, when written directly."
    )
    max_attributes: int = setting(1_000, ge=1, unit="attributes", description="Attributes of one entity at most.")
