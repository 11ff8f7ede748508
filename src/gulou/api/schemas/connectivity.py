"""Schemas of devices, commands, accounting, rejects and loads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr

from gulou.api.schemas.shape import Entry, Identifier, Instant, Name, Page, View


class BindingView(View):
    """One channel of a device and the property it measures or drives."""

    entity_id: str
    entity_type: str
    channel: str = "*"
    property: str | None = None
    unit_code: str | None = None


class BindingEntry(Entry):
    """A binding to set; see `BindingView`."""

    entity_id: Identifier
    entity_type: Identifier
    channel: Identifier = "*"
    property: Identifier | None = None
    unit_code: Identifier | None = None


class DeviceView(View):
    """A registered device."""

    id: str
    name: str
    adapter: str
    kind: str
    bindings: list[BindingView]
    mapping: str | None = None
    gateway_id: str | None = None
    department: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    silence_s: int
    sleepy: bool
    enabled: bool
    labels: dict[str, str]
    online: bool | None = Field(default=None, description="null before its first word")
    last_seen_at: Instant | None = None
    created_at: Instant
    version: int


class DevicePage(Page[DeviceView]):
    """Devices."""


class DeviceFields(Entry):
    """What a person sets of a device."""

    name: Name
    adapter: Identifier
    kind: Identifier = "sensor"
    bindings: list[BindingEntry] = Field(default_factory=list, max_length=1000)
    mapping: Identifier | None = None
    gateway_id: Identifier | None = None
    department: Identifier | None = None
    longitude: float | None = Field(default=None, ge=-180, le=180, description="degrees, EPSG:4326")
    latitude: float | None = Field(default=None, ge=-90, le=90, description="degrees, EPSG:4326")
    silence_s: int = Field(default=900, ge=1, le=31_622_400, description="offline after so many seconds of silence")
    sleepy: bool = False
    enabled: bool = True
    labels: dict[str, str] = Field(default_factory=dict, max_length=64)


class DeviceNew(DeviceFields):
    """A device to register."""

    id: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")


class DeviceReplace(DeviceFields):
    """A device's new state as a whole."""

    version: int = Field(description="of the device as it was read; a newer one is a conflict")


class DeviceChange(Entry):
    """Fields to change; what is left out stays, null empties."""

    version: int | None = Field(default=None, description="of the device as it was read; a newer one is a conflict")
    name: Name | None = None
    adapter: Identifier | None = None
    kind: Identifier | None = None
    bindings: list[BindingEntry] | None = Field(default=None, max_length=1000)
    mapping: Identifier | None = None
    gateway_id: Identifier | None = None
    department: Identifier | None = None
    longitude: float | None = Field(default=None, ge=-180, le=180)
    latitude: float | None = Field(default=None, ge=-90, le=90)
    silence_s: int | None = Field(default=None, ge=1, le=31_622_400)
    sleepy: bool | None = None
    enabled: bool | None = None
    labels: dict[str, str] | None = Field(default=None, max_length=64)


class CredentialsEntry(Entry):
    """A secret of one's own choice; without one the server makes a strong one up."""

    secret: SecretStr | None = Field(default=None, min_length=8, max_length=256)


class CredentialsCreated(View):
    """A device's new secret; the old one no longer works."""

    device_id: str
    secret: str | None = Field(default=None, description="shown this once only; null if you chose it yourself")


class BulkLine(View):
    """What became of one line of a bulk file."""

    line: int
    id: str | None = None
    result: str = Field(description="created, updated, unchanged or failed")
    code: str | None = None
    message: str | None = None
    secret: str | None = Field(default=None, description="made-up secret, shown this once only")


class BulkResult(View):
    """What became of a bulk file; lines are independent of each other."""

    dry_run: bool
    total: int
    created: int
    updated: int
    unchanged: int
    failed: int
    lines: list[BulkLine] = Field(description="failed lines first, at most 1000")


class KindSummary(View):
    """How many devices of one kind are in which state."""

    kind: str
    total: int
    online: int
    offline: int
    never: int


class DevicesSummary(View):
    """How many devices are in which state."""

    total: int
    online: int
    offline: int
    never: int
    by_kind: list[KindSummary]


class EffectEntry(Entry):
    """How the world will show that the command worked."""

    entity_id: Identifier
    property: Identifier
    value: float | bool | str
    tolerance: float = Field(default=0.0, ge=0)


class EffectView(View):
    """How the world shows that the command worked."""

    entity_id: str
    property: str
    value: Any
    tolerance: float = 0.0


class CommandNew(Entry):
    """A command to request; give an id of your own to make a repetition harmless."""

    name: Identifier
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=100)
    id: str | None = Field(default=None, min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:/-]+$")
    effect: EffectEntry | None = None
    cause: Identifier | None = None
    acknowledge_within_s: float = Field(default=10.0, gt=0, le=86_400)
    effect_within_s: float = Field(default=300.0, gt=0, le=604_800)
    retries: int = Field(default=2, ge=0, le=20)
    expires_in_s: float = Field(default=3600.0, gt=0, le=2_592_000)


class CommandView(View):
    """A command as it stands."""

    id: str
    device_id: str
    name: str
    parameters: dict[str, Any]
    state: Literal["requested", "sent", "acknowledged", "effect_seen", "failed", "timed_out", "expired", "cancelled"]
    requested_by: str
    requested_at: Instant
    expires_at: Instant
    cause: str | None = None
    effect: EffectView | None = None
    attempts: int = 0
    sent_at: Instant | None = None
    acknowledged_at: Instant | None = None
    effect_seen_at: Instant | None = None
    ended_at: Instant | None = None
    reason: str | None = None


class CommandPage(Page[CommandView]):
    """Commands, newest first."""


class AccountView(View):
    """One line of the ledger: received = stored + rejected + dropped."""

    source: str
    received: int
    stored: int
    rejected: int
    dropped: int
    last_received_at: Instant | None = None


class Accounting(View):
    """The ledger."""

    at: Instant
    accounts: list[AccountView]
    total: AccountView
    balanced: bool = Field(description="received = stored + rejected + dropped in every line")


class RejectedView(View):
    """Bad data, kept."""

    id: str
    received_at: Instant
    source: str
    adapter: str
    mapping: str | None = None
    device_id: str | None = None
    address: str
    code: str
    params: dict[str, Any]
    message: str = Field(description="the reason as a sentence in the caller's language")
    where: str = ""
    replayed: bool = Field(default=False, description="it was read again since; the new outcome is an entry of its own")
    preview: str = Field(default="", description="the first 200 characters of the raw bytes, as text")


class RejectedPage(Page[RejectedView]):
    """Rejected readings, newest first."""


class RejectedDetail(RejectedView):
    """A reject with its raw bytes."""

    raw_base64: str
    raw_text: str | None = Field(default=None, description="null where the bytes are not UTF-8 text")
    size: int


class ReplayEntry(Entry):
    """Which rejects to read again: ids, or all that fit a filter; with another mapping if one is named."""

    ids: list[Identifier] | None = Field(default=None, max_length=10_000)
    source: Identifier | None = None
    code: Identifier | None = None
    mapping: Identifier | None = None
    limit: int = Field(default=10_000, ge=1, le=10_000, description="at most so many in one call")


class ReplayResult(View):
    """What became of replayed rejects."""

    replayed: int
    received: int
    stored: int
    rejected: int


class ReceiptView(View):
    """Everything in the submission is durable."""

    sequence: int
    received: int
    stored: int
    rejected: int
    repeated: bool = False


class OriginView(View):
    """How far a resumable origin has come."""

    origin: str
    position: int
    account: AccountView | None = None
