"""Kernel: what everything else stands on; no I/O beyond reading its own texts.

Light names are exported here. Modules with heavy libraries behind them are imported by name where they are needed:
``gulou.kernel.settings`` (pydantic), ``gulou.kernel.units`` (pint), ``gulou.kernel.geometry`` (shapely, pyproj),
``gulou.kernel.datum`` (pyproj), ``gulou.kernel.grid`` (h3).
"""

from gulou.kernel.clock import (
    SECOND_US,
    Clock,
    SystemClock,
    VirtualClock,
    from_rfc3339,
    from_us,
    to_rfc3339,
    to_us,
)
from gulou.kernel.errors import (
    Conflict,
    Denied,
    Fault,
    GulouError,
    Invalid,
    NotFound,
    Unavailable,
)
from gulou.kernel.ids import entity_id, is_entity_id, new_id, parse_entity_id
from gulou.kernel.messages import render

__all__ = [
    "SECOND_US",
    "Clock",
    "Conflict",
    "Denied",
    "Fault",
    "GulouError",
    "Invalid",
    "NotFound",
    "SystemClock",
    "Unavailable",
    "VirtualClock",
    "entity_id",
    "from_rfc3339",
    "from_us",
    "is_entity_id",
    "new_id",
    "parse_entity_id",
    "render",
    "to_rfc3339",
    "to_us",
]
