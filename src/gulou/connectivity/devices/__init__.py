"""Devices: the registry of what sends and obeys, its bindings to entities, and who is there."""

from gulou.connectivity.devices.bulk import COLUMNS, FIELDS
from gulou.connectivity.devices.events import DeviceChanged, DeviceConnected, DeviceDisconnected
from gulou.connectivity.devices.model import (
    Binding,
    BulkLine,
    BulkReport,
    Device,
    DevicePage,
    DeviceQuery,
    KindCount,
)
from gulou.connectivity.devices.ports import AuditTrail, CredentialKeeper, PropertyNames
from gulou.connectivity.devices.replica import DeviceReplica
from gulou.connectivity.devices.service import DeviceRegistry
from gulou.connectivity.devices.settings import DeviceSettings
from gulou.connectivity.devices.store_sql import SqlDevices

__all__ = [
    "COLUMNS",
    "FIELDS",
    "AuditTrail",
    "Binding",
    "BulkLine",
    "BulkReport",
    "CredentialKeeper",
    "Device",
    "DeviceChanged",
    "DeviceConnected",
    "DeviceDisconnected",
    "DevicePage",
    "DeviceQuery",
    "DeviceRegistry",
    "DeviceReplica",
    "DeviceSettings",
    "KindCount",
    "PropertyNames",
    "SqlDevices",
]
