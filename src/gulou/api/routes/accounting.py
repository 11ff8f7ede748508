"""The ledger, rejects and loads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
from gulou.api.paging import Spans
from gulou.api.schemas.connectivity import (
    Accounting,
    OriginView,
    ReceiptView,
    RejectedDetail,
    RejectedPage,
    ReplayEntry,
    ReplayResult,
)
from gulou.api.schemas.shape import Instant

router = APIRouter(tags=["accounting"])

Filter = Annotated[str | None, Query(max_length=256)]


@router.get("/accounting")
def get_accounting(asker: Asker) -> Accounting:
    """Account for every reading: received = stored + rejected + dropped."""
    raise NotImplementedError


@router.get("/rejected")
def list_rejected(
    asker: Asker,
    spans: Spans,
    source: Filter = None,
    code: Filter = None,
    q: Annotated[str | None, Query(max_length=200, description="text in the address or device")] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> RejectedPage:
    """List rejected readings, newest first."""
    raise NotImplementedError


@router.post("/rejected/replay")
def replay_rejected(asker: Asker, entry: ReplayEntry) -> ReplayResult:
    """Read rejects again, after their mapping was mended."""
    raise NotImplementedError


@router.get("/rejected/{reject_id}")
def get_rejected(asker: Asker, reject_id: str) -> RejectedDetail:
    """Get one reject with its raw bytes."""
    raise NotImplementedError


@router.post("/loads/{mapping}")
def take_load(
    asker: Asker,
    mapping: str,
    origin: Annotated[str, Query(min_length=1, max_length=256, description="names the file: its digest")],
    position: Annotated[int, Query(ge=1, description="last row of this chunk, counted from the file's begin")],
    first_row: Annotated[int, Query(ge=1, description="first row of this chunk")] = 1,
    file_name: Annotated[str, Query(max_length=500)] = "",
) -> ReceiptView:
    """Take a chunk of a file's records (NDJSON); answered when durable, a repetition changes nothing."""
    raise NotImplementedError


@router.get("/loads/{mapping}/origins/{origin:path}")
def get_load_origin(asker: Asker, mapping: str, origin: str) -> OriginView:
    """Say how far a load has come, so that it can be resumed."""
    raise NotImplementedError
