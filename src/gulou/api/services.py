"""Everything that the routes call, in one frozen bundle; ``cli/wire.py`` fills it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services behind the API."""
