"""Devices: the registry, credentials, bulk."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from gulou.api.asking import Asker
from gulou.api.paging import Pages
from gulou.api.schemas.connectivity import (
    BulkResult,
    CredentialsCreated,
    CredentialsEntry,
    DeviceChange,
    DeviceNew,
    DevicePage,
    DeviceReplace,
    DevicesSummary,
    DeviceView,
)

router = APIRouter(tags=["devices"])

Filter = Annotated[str | None, Query(max_length=128)]


@router.get("/devices")
def list_devices(
    asker: Asker,
    pages: Pages,
    kind: Filter = None,
    adapter: Filter = None,
    department: Filter = None,
    gateway_id: Filter = None,
    entity_id: Annotated[str | None, Query(max_length=256, description="devices bound to this entity")] = None,
    online: Annotated[Literal["online", "offline", "never"] | None, Query()] = None,
) -> DevicePage:
    """List devices."""
    raise NotImplementedError


@router.post("/devices", status_code=201)
def create_device(asker: Asker, entry: DeviceNew) -> DeviceView:
    """Register a device."""
    raise NotImplementedError


@router.get("/devices/summary")
def get_devices_summary(asker: Asker) -> DevicesSummary:
    """Count devices by state and kind."""
    raise NotImplementedError


@router.get("/devices/export.csv", response_model=None)
def export_devices(asker: Asker) -> Response:
    """Export all devices in the format that the bulk import takes."""
    raise NotImplementedError


@router.post("/devices/bulk")
def import_devices(asker: Asker, dry_run: bool = False) -> BulkResult:
    """Register or update many devices from CSV or NDJSON; each line succeeds or fails by itself."""
    raise NotImplementedError


@router.get("/devices/{device_id}")
def get_device(asker: Asker, device_id: str) -> DeviceView:
    """Get one device."""
    raise NotImplementedError


@router.put("/devices/{device_id}")
def replace_device(asker: Asker, device_id: str, entry: DeviceReplace) -> DeviceView:
    """Replace a device's description."""
    raise NotImplementedError


@router.patch("/devices/{device_id}")
def update_device(asker: Asker, device_id: str, entry: DeviceChange) -> DeviceView:
    """Change some fields of a device."""
    raise NotImplementedError


@router.delete("/devices/{device_id}", status_code=204)
def delete_device(asker: Asker, device_id: str) -> None:
    """Remove a device and its credentials; what it measured stays."""
    raise NotImplementedError


@router.post("/devices/{device_id}/credentials", status_code=201)
def create_device_credentials(asker: Asker, device_id: str, entry: CredentialsEntry) -> CredentialsCreated:
    """Give a device a new secret; the old one stops working."""
    raise NotImplementedError


@router.delete("/devices/{device_id}/credentials", status_code=204)
def revoke_device_credentials(asker: Asker, device_id: str) -> None:
    """Take a device's secret away; it can't connect until it has a new one."""
    raise NotImplementedError
