"""The ledger, rejects and loads."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query

from gulou.access import Principal
from gulou.api.asking import At, Language, body_of, needs
from gulou.api.instants import to_span_us
from gulou.api.paging import Spans
from gulou.api.schemas.connectivity import (
    Accounting,
    OriginView,
    ReceiptView,
    RejectedDetail,
    RejectedPage,
    RejectedView,
    ReplayEntry,
    ReplayResult,
)
from gulou.api.schemas.shape import Instant
from gulou.api.shaping import to_view
from gulou.api.views import account_view, accounting_of
from gulou.connectivity.intake import Rejected, RejectQuery
from gulou.kernel import render, to_rfc3339

router = APIRouter(tags=["accounting"])

Filter = Annotated[str | None, Query(max_length=256)]
Reader = Annotated[Principal, needs("intake.read")]
Writer = Annotated[Principal, needs("intake.write")]
_CHUNK_BYTES_MAX = 16_777_216
LoadBody = Annotated[bytes, body_of(_CHUNK_BYTES_MAX)]
_PREVIEW = 200
_NDJSON_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
}


@router.get("/accounting")
def get_accounting(at: At, asker: Reader) -> Accounting:
    """Account for every reading: received = stored + rejected + dropped."""
    now = to_rfc3339(at.clock.now_us())
    return Accounting.model_validate(accounting_of(at.ledger.accounts(), now))


@router.get("/rejected")
def list_rejected(
    at: At,
    asker: Reader,
    language: Language,
    spans: Spans,
    source: Filter = None,
    code: Filter = None,
    device_id: Filter = None,
    replayed: bool | None = None,
    q: Annotated[str | None, Query(max_length=200, description="text in address, device or raw bytes")] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> RejectedPage:
    """List rejected readings, newest first."""
    from_us, to_us = to_span_us(from_, to)
    query = RejectQuery(
        source=source, code=code, device_id=device_id, text=q, from_us=from_us, to_us=to_us, replayed=replayed,
        limit=spans.limit, cursor=spans.cursor,
    )  # fmt: skip
    page = at.rejects.list_rejected(query)
    items = [_rejected_view(rejected, language) for rejected in page.items]
    return RejectedPage(items=items, total=page.total, next=page.next)


@router.post("/rejected/replay")
def replay_rejected(at: At, asker: Writer, entry: ReplayEntry) -> ReplayResult:
    """Read rejects again, after their mapping was mended: those of `ids`, or all that fit the filter."""
    if entry.ids is not None:
        result = at.replayer.replay(entry.ids[: entry.limit], entry.mapping)
    else:
        query = RejectQuery(source=entry.source, code=entry.code)
        result = at.replayer.replay_matching(query, entry.mapping, entry.limit)
    details = {"replayed": result.replayed, "source": entry.source, "code": entry.code, "mapping": entry.mapping}
    at.access.audit.record(asker, "rejected.replayed", "rejected", entry.source or "", details)
    return to_view(ReplayResult, result)


@router.get("/rejected/{reject_id}")
def get_rejected(at: At, asker: Reader, language: Language, reject_id: str) -> RejectedDetail:
    """Get one reject with its raw bytes."""
    rejected = at.rejects.get_rejected(reject_id)
    try:
        text = rejected.raw.decode()
    except UnicodeDecodeError:
        text = None
    return RejectedDetail(
        **_rejected_view(rejected, language).model_dump(),
        raw_base64=base64.b64encode(rejected.raw).decode(),
        raw_text=text,
        size=len(rejected.raw),
    )


@router.post("/loads/{mapping}", openapi_extra=_NDJSON_BODY)
def take_load(
    at: At,
    asker: Writer,
    mapping: str,
    rows: LoadBody,
    origin: Annotated[str, Query(min_length=1, max_length=256, description="names the file: its digest")],
    position: Annotated[int, Query(ge=1, description="last row of this chunk, counted from the file's begin")],
    first_row: Annotated[int, Query(ge=1, description="first row of this chunk")] = 1,
    file_name: Annotated[str, Query(max_length=500)] = "",
) -> ReceiptView:
    """Take a chunk of a file's records (NDJSON); answered when durable, a repetition changes nothing."""
    receipt = at.loads.take(
        mapping, origin=origin, position=position, rows=rows, file_name=file_name, first_row=first_row
    )
    return to_view(ReceiptView, receipt)


@router.get("/loads/{mapping}/origins/{origin:path}")
def get_load_origin(at: At, asker: Reader, mapping: str, origin: str) -> OriginView:
    """Say how far a load has come, so that it can be resumed; position 0 for an unknown one."""
    at.intake.settle()  # the account then counts everything that was acknowledged
    found = at.loads.origin(mapping, origin)
    if found is None:
        return OriginView(origin=origin, position=0)
    return OriginView(origin=origin, position=found.position, account=account_view(found.account))


def _rejected_view(rejected: Rejected, language: str) -> RejectedView:
    return to_view(
        RejectedView,
        rejected,
        message=render(rejected.code, rejected.params, language),
        preview=rejected.raw[: _PREVIEW * 4].decode("utf-8", "replace")[:_PREVIEW],
    )
