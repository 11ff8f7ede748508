"""From what services return to what the API sends: names stay, instants become datetimes."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import Response

from gulou.api.schemas.shape import View
from gulou.kernel import from_us

V = TypeVar("V", bound=View)


def to_view(view: type[V], source: object, /, **given: Any) -> V:
    """Build a view from the attributes of a struct.

    A field ``x`` is taken from ``given``, else from ``source.x``, else as an instant from ``source.x_us``; what is in
    none of them takes the view's default.
    """
    values: dict[str, Any] = dict(given)
    for name in view.model_fields:
        if name in values:
            continue
        if hasattr(source, name):
            values[name] = _plain(getattr(source, name))
        elif hasattr(source, f"{name}_us"):
            instant_us = getattr(source, f"{name}_us")
            values[name] = from_us(instant_us) if instant_us is not None else None
    return view.model_validate(values)


def _plain(value: Any) -> Any:
    """Turn what pydantic would not take for a list into one."""
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def json_response(body: Any) -> Response:
    """Send plain data that needs no check on its way out; for what is large."""
    return Response(msgspec.json.encode(body, enc_hook=str), media_type="application/json")
