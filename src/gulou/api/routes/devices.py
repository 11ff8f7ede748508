"""Devices: the registry, credentials, bulk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from gulou.access import Principal
from gulou.api.asking import At, Language, body_of, needs
from gulou.api.paging import Pages
from gulou.api.schemas.connectivity import (
    BulkLine,
    BulkResult,
    CredentialsCreated,
    CredentialsEntry,
    DeviceChange,
    DeviceNew,
    DevicePage,
    DeviceReplace,
    DevicesSummary,
    DeviceView,
    KindSummary,
)
from gulou.api.services import Services
from gulou.api.shaping import to_view
from gulou.api.views import device_view
from gulou.connectivity.devices import BulkReport, Device, DeviceQuery
from gulou.connectivity.devices import DevicePage as Devices
from gulou.kernel import Invalid, render

router = APIRouter(tags=["devices"])

Filter = Annotated[str | None, Query(max_length=256)]
Reader = Annotated[Principal, needs("device.read")]
Writer = Annotated[Principal, needs("device.write")]
BulkBody = Annotated[bytes, body_of(67_108_864)]
_FORMS = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/ndjson": "ndjson"}
_BULK_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/x-ndjson")},
    }
}
_LINES_SHOWN = 1000
_OF_ENTITY = 1000


@router.get("/devices")
def list_devices(
    at: At,
    asker: Reader,
    pages: Pages,
    kind: Filter = None,
    adapter: Filter = None,
    department: Filter = None,
    gateway_id: Filter = None,
    entity_id: Annotated[str | None, Query(max_length=512, description="devices bound to this entity")] = None,
    online: Annotated[Literal["online", "offline", "never", "true", "false"] | None, Query()] = None,
) -> DevicePage:
    """List devices; sorted by `id`, `name` or `last_seen`."""
    query = DeviceQuery(
        text=entity_id or pages.q,
        kind=kind,
        adapter=adapter,
        department=department,
        departments=asker.departments("device.read"),
        gateway_id=gateway_id,
        online={"online": True, "true": True, "offline": False, "false": False}.get(online or ""),
        never=online == "never",
        sort=(pages.sort or "id").replace("last_seen_at", "last_seen"),
        limit=pages.limit if entity_id is None else _OF_ENTITY,
        cursor=pages.cursor,
    )
    page = at.devices.list_devices(query)
    if entity_id is not None:
        page = _bound_to(page, entity_id, pages.limit)
    return DevicePage(items=[device_view(device) for device in page.items], total=page.total, next=page.next)


@router.post("/devices", status_code=201)
def create_device(at: At, asker: Writer, entry: DeviceNew) -> DeviceView:
    """Register a device."""
    device = msgspec.convert(entry.model_dump(), Device)
    return device_view(at.devices.create(device, asker))


@router.get("/devices/summary")
def get_devices_summary(at: At, asker: Reader) -> DevicesSummary:
    """Count devices by state and kind."""
    kinds = [to_view(KindSummary, kind) for kind in at.devices.summary()]
    return DevicesSummary(
        total=sum(kind.total for kind in kinds),
        online=sum(kind.online for kind in kinds),
        offline=sum(kind.offline for kind in kinds),
        never=sum(kind.never for kind in kinds),
        by_kind=kinds,
    )


@router.get("/devices/export.csv", response_model=None, responses={200: {"content": {"text/csv": {}}}})
def export_devices(at: At, asker: Reader) -> Response:
    """Export the devices that one may see in the format that the bulk import takes; without secrets."""

    def lines() -> Iterator[bytes]:
        for line in at.devices.export_csv(asker.departments("device.read")):
            yield line.encode()

    headers = {"Content-Disposition": 'attachment; filename="devices.csv"'}
    return StreamingResponse(lines(), media_type="text/csv", headers=headers)


@router.post("/devices/bulk", openapi_extra=_BULK_BODY)
def import_devices(
    request: Request,
    at: At,
    asker: Writer,
    language: Language,
    body: BulkBody,
    dry_run: Annotated[bool, Query(description="only say what would happen")] = False,
    secrets: Annotated[bool, Query(description="make up a secret for each new device that has none")] = False,
) -> BulkResult:
    """Register or update many devices from CSV or NDJSON; each line succeeds or fails by itself."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        raise Invalid("request.content_type", given=kind, known=", ".join(_FORMS))
    report = at.devices.bulk(body, _FORMS[kind], asker, dry_run=dry_run, make_secrets=secrets)
    return _bulk_result(report, language)


@router.get("/devices/{device_id}")
def get_device(at: At, asker: Reader, device_id: str) -> DeviceView:
    """Get one device."""
    return device_view(_readable(at, asker, device_id))


@router.put("/devices/{device_id}")
def replace_device(at: At, asker: Writer, device_id: str, entry: DeviceReplace) -> DeviceView:
    """Replace a device's description."""
    device = msgspec.convert({**entry.model_dump(), "id": device_id}, Device)
    return device_view(at.devices.replace(device, asker))


@router.patch("/devices/{device_id}")
def update_device(at: At, asker: Writer, device_id: str, entry: DeviceChange) -> DeviceView:
    """Change some fields of a device."""
    given = entry.model_dump(exclude_unset=True, exclude={"version"})
    before = _readable(at, asker, device_id)
    merged = msgspec.convert({**msgspec.to_builtins(before), **given}, Device)
    changes = {name: getattr(merged, name) for name in given}
    return device_view(at.devices.change(device_id, changes, asker, entry.version))


@router.delete("/devices/{device_id}", status_code=204)
def delete_device(at: At, asker: Writer, device_id: str, version: int | None = None) -> None:
    """Remove a device and its credentials; what it measured stays."""
    at.devices.delete(device_id, asker, version)


@router.post("/devices/{device_id}/credentials", status_code=201)
def create_device_credentials(at: At, asker: Writer, device_id: str, entry: CredentialsEntry) -> CredentialsCreated:
    """Give a device a new secret; the old one stops working."""
    chosen = entry.secret.get_secret_value() if entry.secret is not None else None
    return CredentialsCreated(device_id=device_id, secret=at.devices.set_credentials(device_id, asker, chosen))


@router.delete("/devices/{device_id}/credentials", status_code=204)
def revoke_device_credentials(at: At, asker: Writer, device_id: str) -> None:
    """Take a device's secret away; it can't connect until it has a new one."""
    at.devices.revoke_credentials(device_id, asker)


def _readable(at: Services, asker: Principal, device_id: str) -> Device:
    device = at.devices.get_device(device_id)
    asker.require("device.read", device.department)
    return device


def _bound_to(page: Devices, entity_id: str, limit: int) -> Devices:
    """Keep what is bound to just this entity; the text search finds longer ids too."""
    items = [device for device in page.items if any(binding.entity_id == entity_id for binding in device.bindings)]
    return Devices(tuple(items[:limit]), len(items), None)


def _bulk_result(report: BulkReport, language: str) -> BulkResult:
    lines = [
        BulkLine(
            line=line.line,
            id=line.device_id,
            result=line.result,
            code=line.code,
            message=render(line.code, line.params, language) if line.code else None,
            secret=line.secret,
        )
        for line in report.lines
    ]
    return to_view(
        BulkResult,
        report,
        total=report.created + report.updated + report.unchanged + report.failed,
        lines=sorted(lines, key=lambda line: (line.result != "failed", line.line))[: 2 * _LINES_SHOWN],
    )
