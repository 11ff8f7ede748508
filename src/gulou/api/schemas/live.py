"""What travels on the live stream (WebSocket ``/api/v1/live``)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from gulou.api.schemas.connectivity import Accounting, CommandView
from gulou.api.schemas.hub import HistoryBucket, HistoryRow
from gulou.api.schemas.operations import IncidentView, WarningView
from gulou.api.schemas.shape import Entry, Geometry, Instant, View


class LiveEntitiesWanted(Entry):
    """Which entities to be told of; without types or box, all."""

    types: list[str] | None = Field(default=None, max_length=200)
    ids: list[str] | None = Field(default=None, max_length=1000)
    bbox: tuple[float, float, float, float] | None = Field(default=None, description="west, south, east, north")


class LiveWanted(Entry):
    """What to be told of; a new one takes the place of the one before."""

    entities: LiveEntitiesWanted | bool = False
    warnings: bool = False
    incidents: list[str] | bool = False
    commands: bool = False
    devices: bool = False
    accounting: bool = False


class LiveSubscription(Entry):
    """What a client sends."""

    subscribe: LiveWanted


class LiveEntity(View):
    """An entity in a frame: only the properties that have changed."""

    id: str
    type: str
    values: dict[str, Any]
    observedAt: Instant | None = None  # noqa: N815  # NGSI-LD's own spelling
    location: Geometry | None = Field(default=None, description="where it is now, if it has moved")
    deleted: bool = False


class LiveEntitiesFrame(View):
    """Changed entities, the newest values only; at most two such frames a second."""

    kind: Literal["entities"] = "entities"
    at: Instant
    items: list[LiveEntity]


class LiveWarningFrame(View):
    """A warning arose or changed."""

    kind: Literal["warning"] = "warning"
    at: Instant
    item: WarningView


class LiveIncidentFrame(View):
    """An incident arose or changed."""

    kind: Literal["incident"] = "incident"
    at: Instant
    item: IncidentView


class LiveCommandFrame(View):
    """A command reached a new state."""

    kind: Literal["command"] = "command"
    at: Instant
    item: CommandView


class LiveDevice(View):
    """What happened to a device."""

    id: str
    change: Literal["connected", "disconnected", "created", "updated", "deleted"]
    reason: str | None = None
    will: str | None = Field(default=None, description="what the device had asked to be said when it goes")


class LiveDeviceFrame(View):
    """Devices came, went or were changed; the newest of each only."""

    kind: Literal["device"] = "device"
    at: Instant
    items: list[LiveDevice]


class LiveAccountingFrame(View):
    """The ledger; every two seconds while it moves."""

    kind: Literal["accounting"] = "accounting"
    at: Instant
    item: Accounting


class LiveHeartbeatFrame(View):
    """The server lives; every five seconds. The first one says that a subscription is in force."""

    kind: Literal["heartbeat"] = "heartbeat"
    at: Instant


class LiveErrorFrame(View):
    """A message from the client was not understood; the connection goes on."""

    kind: Literal["error"] = "error"
    at: Instant
    code: str
    message: str


_FRAMES: tuple[type[BaseModel], ...] = (
    LiveEntitiesFrame,
    LiveWarningFrame,
    LiveIncidentFrame,
    LiveCommandFrame,
    LiveDeviceFrame,
    LiveAccountingFrame,
    LiveHeartbeatFrame,
    LiveErrorFrame,
)


def extra_schemas() -> dict[str, Any]:
    """Return by name the schemas that no route shows: of the live stream, with ``LiveFrame`` as the union of what the
    server sends, and of the history's lines."""
    wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (frame, "serialization") for frame in _FRAMES
    ]
    wanted += [(HistoryRow, "serialization"), (HistoryBucket, "serialization")]
    wanted.append((LiveSubscription, "validation"))
    _map, document = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = document["$defs"]
    references = [{"$ref": f"#/components/schemas/{frame.__name__}"} for frame in _FRAMES]
    schemas["LiveFrame"] = {"title": "LiveFrame", "anyOf": references}
    return schemas
