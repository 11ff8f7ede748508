"""Options that several commands share, with the same name and meaning everywhere."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from gulou.kernel.clock import to_rfc3339, to_us
from gulou.kernel.errors import Invalid

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="GULOU_DATA", help="Data directory (default: gulou-data here).", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output, nothing else there.")]
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def read_zone(name: str) -> ZoneInfo:
    """Return an IANA time zone; raises Invalid ``time.zone_unknown``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("time.zone_unknown", zone=name) from None


def read_moment(text: str, zone: ZoneInfo) -> str:
    """Read a date or time as people write it, in ``zone`` unless it carries its own; return RFC 3339 in UTC.

    Raises:
        Invalid: ``time.unreadable``.
    """
    try:
        moment = datetime.fromisoformat(f"{text}T00:00:00" if _DATE.match(text) else text)
    except ValueError:
        raise Invalid("time.unreadable", value=text) from None
    return to_rfc3339(to_us(moment if moment.tzinfo else moment.replace(tzinfo=zone)))
