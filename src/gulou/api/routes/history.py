"""What was: readings and aggregates, streamed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from gulou.api.asking import Asker
from gulou.api.schemas.shape import Instant

router = APIRouter(tags=["history"])

Aggregate = Literal["mean", "min", "max", "sum", "count", "first", "last", "stddev", "median", "p95", "p99"]


@router.get("/history", response_model=None)
def query_history(
    request: Request,
    asker: Asker,
    type_: Annotated[str, Query(alias="type", max_length=200)],
    property_: Annotated[str | None, Query(alias="property", max_length=200)] = None,
    id_: Annotated[str | None, Query(alias="id", max_length=500, description="glob: `*Aotizhongxin`")] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="inclusive")] = None,
    to: Annotated[Instant | None, Query(description="exclusive")] = None,
    zone: Annotated[str, Query(max_length=64, description="IANA zone of the buckets' edges")] = "UTC",
    aggregate: Aggregate | None = None,
    every: Annotated[
        str | None, Query(pattern=r"^[1-9][0-9]{0,4}(s|m|h|d|w|mo)$", description="`15m`, `1d`, `1mo`")
    ] = None,
    by: Annotated[Literal["id"] | None, Query(description="one row an entity and bucket")] = None,
    limit: Annotated[int, Query(ge=1, le=5_000_000)] = 100_000,
) -> Response:
    """Stream readings, or with `aggregate` and `every` buckets; NDJSON, or CSV by `Accept: text/csv`."""
    raise NotImplementedError
