"""Identifiers: NGSI-LD URNs for entities, sortable ids for everything that Gulou itself creates."""

from __future__ import annotations

import re
import secrets
from urllib.parse import quote, unquote

from gulou.kernel.clock import SECOND_US, Clock, from_us
from gulou.kernel.errors import Invalid

URN_PREFIX = "urn:ngsi-ld:"
MAX_URN_LENGTH = 512

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/~@!$&'()+,;=-]*")
_URN = re.compile(r"urn:ngsi-ld:([A-Za-z][A-Za-z0-9_]{0,127}):([\x21-\x7e]+)")
_SAFE = "._:/~@!$&'()+,;=-"
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,15}")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts like numbers, has no i l o u


def entity_id(entity_type: str, local: str) -> str:
    """Make the URN of an entity, ``urn:ngsi-ld:WaterLevelObserved:drain-7``.

    Characters of ``local`` that a URN may not hold (Chinese, blanks, ``*``) are percent-encoded as UTF-8.

    Raises:
        Invalid: ``id.type_malformed`` or ``id.local_malformed`` (empty, too long, control characters).

    Source: RFC 8141 §2
    """
    if not _TYPE.fullmatch(entity_type):
        raise Invalid("id.type_malformed", type=entity_type)
    if not _PLAIN_LOCAL.fullmatch(local):
        if not local or not local.isprintable():
            raise Invalid("id.local_malformed", local=local)
        local = quote(local, safe=_SAFE)
    urn = f"{URN_PREFIX}{entity_type}:{local}"
    if len(urn) > MAX_URN_LENGTH:
        raise Invalid("id.too_long", length=len(urn), limit=MAX_URN_LENGTH)
    return urn


def parse_entity_id(urn: str) -> tuple[str, str]:
    """Split a URN into type and local part (percent-decoded); the inverse of ``entity_id``.

    Raises:
        Invalid: ``id.malformed`` or ``id.too_long``.
    """
    if len(urn) > MAX_URN_LENGTH:
        raise Invalid("id.too_long", length=len(urn), limit=MAX_URN_LENGTH)
    parts = _URN.fullmatch(urn)
    if parts is None:
        raise Invalid("id.malformed", id=urn)
    return parts[1], unquote(parts[2])


def is_entity_id(text: str) -> bool:
    """Tell whether ``parse_entity_id`` would take it."""
    return len(text) <= MAX_URN_LENGTH and _URN.fullmatch(text) is not None


def new_id(prefix: str, clock: Clock) -> str:
    """Make a new id, ``inc-20261122-0k3f9z1q7h2m4n8p``: day (UTC), time of day, 40 random bits.

    Ids of one prefix sort by the time of their making. They are not secrets.
    """
    if not _PREFIX.fullmatch(prefix):
        raise Invalid("id.prefix_malformed", prefix=prefix)
    now_us = clock.now_us()
    time_of_day = _base32(now_us % (86_400 * SECOND_US), 8)
    return f"{prefix}-{from_us(now_us):%Y%m%d}-{time_of_day}{_base32(secrets.randbits(40), 8)}"


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
