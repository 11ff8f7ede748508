"""The device registry: what may send, what it is bound to, whether it is there."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from gulou.access import Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.devices.bulk import FIELDS, read_csv, read_ndjson
from gulou.connectivity.devices.editing import Editor
from gulou.connectivity.devices.events import DeviceChanged
from gulou.connectivity.devices.index import DeviceIndex
from gulou.connectivity.devices.model import Binding, BulkLine, BulkReport, Device, DevicePage, DeviceQuery, KindCount
from gulou.connectivity.devices.ports import AuditTrail, CredentialKeeper, PropertyNames
from gulou.connectivity.devices.presence import Presence
from gulou.connectivity.devices.provisioning import Provisioner, make_report
from gulou.connectivity.devices.settings import DeviceSettings
from gulou.connectivity.devices.store_sql import SqlDevices, delete_row, insert_rows, list_all, list_page, update_rows
from gulou.connectivity.outbox import Outbox
from gulou.kernel.clock import Clock
from gulou.kernel.errors import Conflict, Invalid, NotFound
from gulou.records import Database

_BULK_CHUNK = 500


class DeviceRegistry:
    """Registers devices and answers the hot path from memory. Safe from any thread.

    This process is the only writer of the device table. What was registered before its start is read when it is first
    asked for.

    Args:
        knows: tells which type has which property; None: anything may be bound, and ``*`` bindings to entities of
            several types are not told apart.
        adapters: the adapters that are here, by name; None: devices may name any.
        source: the table, where somebody has begun to read it ahead.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        audit: AuditTrail,
        credentials: CredentialKeeper,
        *,
        knows: PropertyNames | None = None,
        adapters: Collection[str] | None = None,
        settings: DeviceSettings | None = None,
        source: SqlDevices | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit
        self._credentials = credentials
        self._settings = settings or DeviceSettings()
        self._outbox = Outbox(bus)
        self._writing = threading.RLock()
        self._index = DeviceIndex(knows, source or SqlDevices(database))
        self._editor = Editor(self._index, clock, self._settings, knows=knows, adapters=adapters)
        self._presence = Presence(self._index, database, bus, clock, self._settings)

    # --- changed by people and programs -------------------------------------------------------------------------

    def create(self, device: Device, principal: Principal) -> Device:
        """Register a device.

        Raises:
            Conflict: ``device.exists``.
            Invalid: ``device.…`` of what is wrong with it.
            Unavailable, Denied: too many devices; not permitted.
        """
        principal.require("device.write", device.department)
        with self._writing:
            fresh = self._editor.fresh(device)
            with self._database.transaction() as connection:
                insert_rows(connection, [fresh])
                self._audit.record(
                    principal, "device.created", "device", fresh.id, _details(fresh), connection=connection
                )
            known = self._index.put(fresh)
            self._announce(fresh.id, "created")
        self._outbox.flush()
        return known.current()

    def replace(self, device: Device, principal: Principal) -> Device:
        """Give a device a new state as a whole; ``device.version`` is the one that was read. Raises as ``change``."""
        wanted = {name: getattr(device, name) for name in FIELDS if name != "id"}
        return self.change(device.id, wanted, principal, device.version)

    def change(
        self, device_id: str, changes: Mapping[str, Any], principal: Principal, version: int | None = None
    ) -> Device:
        """Change some fields of a device, of ``FIELDS``.

        Raises:
            NotFound: ``device.unknown``.
            Conflict: ``device.changed``: ``version`` is given and is not the present one.
            Invalid: ``device.…`` of what is wrong.
        """
        with self._writing:
            before = self.get_device(device_id)
            if version is not None and version != before.version:
                raise Conflict("device.changed", device_id=device_id, version=before.version, read=version)
            principal.require("device.write", before.department)
            after = self._editor.changed(before, changes)
            principal.require("device.write", after.department)
            if after == before:
                return before
            after = structs.replace(after, version=before.version + 1)
            with self._database.transaction() as connection:
                update_rows(connection, [after])
                self._audit.record(
                    principal, "device.updated", "device", device_id, _difference(before, after), connection=connection
                )
            known = self._index.put(after)
            self._announce(device_id, "updated")
        self._outbox.flush()
        return known.current()

    def delete(self, device_id: str, principal: Principal, version: int | None = None) -> None:
        """Remove a device and its secret; its readings and entities stay.

        Raises:
            NotFound: ``device.unknown``.
            Conflict: ``device.changed``; ``device.has_children``: others speak through it.
        """
        with self._writing:
            device = self.get_device(device_id)
            principal.require("device.write", device.department)
            if version is not None and version != device.version:
                raise Conflict("device.changed", device_id=device_id, version=device.version, read=version)
            children = self._index.children(device_id)
            if children:
                raise Conflict("device.has_children", device_id=device_id, count=len(children), first=children[0])
            with self._database.transaction() as connection:
                delete_row(connection, device_id)
                self._credentials.revoke(device_id, connection=connection)
                self._audit.record(
                    principal, "device.deleted", "device", device_id, _details(device), connection=connection
                )
            number = self._index.number_of(device_id)
            self._index.remove(device_id)
            if number is not None:
                self._presence.forget(number)
            self._announce(device_id, "deleted")
        self._outbox.flush()

    def set_credentials(self, device_id: str, principal: Principal, secret: str | None = None) -> str | None:
        """Give a device a secret; without one it is made up and returned, this once only.

        Raises:
            NotFound: ``device.unknown``.
            Invalid: ``access.secret_short``, ``access.secret_long``.
        """
        device = self.get_device(device_id)
        principal.require("device.write", device.department)
        with self._database.transaction() as connection:
            made = None
            if secret is None:
                made = self._credentials.issue_many([device_id], connection=connection)[device_id]
            else:
                self._credentials.set_many({device_id: secret}, connection=connection)
            details = {"made_up": secret is None}
            self._audit.record(principal, "device.secret_set", "device", device_id, details, connection=connection)
        self._announce(device_id, "credentials")
        self._outbox.flush()
        return made

    def revoke_credentials(self, device_id: str, principal: Principal) -> None:
        """Take a device's secret away: it cannot connect until it has a new one. Raises NotFound ``device.unknown``."""
        device = self.get_device(device_id)
        principal.require("device.write", device.department)
        with self._database.transaction() as connection:
            self._credentials.revoke(device_id, connection=connection)
            self._audit.record(principal, "device.secret_revoked", "device", device_id, connection=connection)
        self._announce(device_id, "credentials")
        self._outbox.flush()

    def bulk(
        self, data: bytes, form: str, principal: Principal, *, dry_run: bool = False, make_secrets: bool = False
    ) -> BulkReport:
        """Register or change many devices; each line stands for itself.

        Args:
            form: ``csv`` or ``ndjson``.
            dry_run: report what would become of it, and change nothing.
            make_secrets: make up secrets for new devices whose line has none.

        Raises:
            Invalid: ``device.bulk_…``: the file as a whole cannot be used; nothing was changed.
        """
        if form not in ("csv", "ndjson"):
            raise Invalid("device.bulk_form", form=form)
        lines = read_csv(data) if form == "csv" else read_ndjson(data)
        results: list[BulkLine] = []
        count = 0
        provisioner = Provisioner(
            self._database,
            self._index,
            self._editor,
            self._audit,
            self._credentials,
            principal,
            announce=self._announce,
            dry_run=dry_run,
            make_secrets=make_secrets,
        )
        while chunk := list(islice(lines, _BULK_CHUNK)):
            count += len(chunk)
            if count > self._settings.max_bulk_lines:
                raise Invalid("device.bulk_too_long", limit=self._settings.max_bulk_lines)
            with self._writing:
                results += provisioner.take(chunk)
            self._outbox.flush()
        return make_report(results, dry_run=dry_run)

    # --- looked at -----------------------------------------------------------------------------------------------

    def get_device(self, device_id: str) -> Device:
        """Return a device with its presence. Raises NotFound ``device.unknown``."""
        known = self._index.get(device_id)
        if known is None:
            raise NotFound("device.unknown", device_id=device_id[:128])
        return known.current()

    def find_device(self, device_id: str) -> Device | None:
        """Return a device with its presence, or None."""
        known = self._index.get(device_id)
        return None if known is None else known.current()

    def find_registered(self, device_ids: Sequence[str]) -> list[tuple[int, Device] | None]:
        """Return of each device its number and what was registered, its presence perhaps an old one; None: unknown."""
        found = self._index.get_many(device_ids)
        return [None if known is None else (known.number, known.device) for known in found]

    def load(self, device_ids: Iterable[str]) -> None:
        """Have devices in memory that are going to be asked for one by one."""
        self._index.load(device_ids)

    def list_devices(self, query: DeviceQuery) -> DevicePage:
        """Return a page; quick at 100,000 devices. A device's last word may be a minute older here than it is.

        Raises:
            Invalid: ``device.page_limit``, ``device.sort_unknown``, ``device.cursor_malformed``.
        """
        page = list_page(self._database, query)
        self._index.load(device.id for device in page.items)
        return structs.replace(page, items=tuple(self.find_device(device.id) or device for device in page.items))

    def summary(self) -> list[KindCount]:
        """Count devices by kind and state."""
        return self._index.counts()

    def export_csv(self, departments: Collection[str] | None = None) -> Iterator[str]:
        """Yield the registry as CSV, in the form that ``bulk`` reads; without secrets.

        Args:
            departments: only their devices, and those that belong to none; None: all.
        """
        columns = [field for field in FIELDS if field != "labels"]
        devices = list(list_all(self._database))
        if departments is not None:
            devices = [one for one in devices if one.department is None or one.department in departments]
        labels = sorted({name for device in devices for name in device.labels})
        yield _csv_line([*columns, *(f"labels.{name}" for name in labels)])
        for device in devices:
            cells = [_cell(getattr(device, field)) for field in columns]
            yield _csv_line([*cells, *(device.labels.get(name, "") for name in labels)])

    # --- asked by adapters, intake, rules and commands -----------------------------------------------------------

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a device's channel is bound to, its property filled in; None when it is not bound."""
        return self._index.resolve(device_id, channel)

    def refusal(self, device_id: str, entity_id: str, property_name: str, /) -> str | None:
        """See ``intake.DeviceGate``."""
        known = self._index.get(device_id)
        if known is None:
            return "device.unknown"
        if not known.device.enabled:
            return "device.disabled"
        return None if known.may_report(entity_id, property_name) else "device.not_bound"

    def device_of(self, entity_id: str, property: str | None = None) -> str | None:  # noqa: A002 - the vocabulary's word
        """Return the device to command about an entity: bound to just the property, else an actuator, else any."""
        return self._index.device_of(entity_id, property)

    def children(self, gateway_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that speak through a gateway."""
        return self._index.children(gateway_id)

    def seen(self, device_id: str, at_us: int, /) -> None:
        """Note a sign of life; unknown devices are passed over."""
        self._presence.seen(device_id, at_us)

    def seen_many(self, numbers: NDArray[np.int64], at_us: NDArray[np.int64]) -> None:
        """Note signs of life of many devices at once, each named once by its ``number_of``."""
        self._presence.seen_many(numbers, at_us)

    def number_of(self, device_id: str) -> int | None:
        """Return a device's number, which no other device will ever have while this process lives; None: unknown."""
        return self._index.number_of(device_id)

    @property
    def generation(self) -> int:
        """Grows with every device that is added, changed or removed; who keeps what it was told asks for it."""
        return self._index.generation

    def changed_since(self, generation: int) -> tuple[str, ...] | None:
        """Return the ids of the devices that have changed since that generation; None: too many, forget all."""
        return self._index.changed_since(generation)

    def connected(self, device_id: str) -> None:
        """Note an opened connection."""
        self._presence.connected(device_id)

    def disconnected(self, device_id: str, reason: str, will: str | None = None) -> None:
        """Note a closed connection (``closed``, ``keep_alive``), and what the device had wanted said in that case."""
        self._presence.disconnected(device_id, reason, will)

    def left_will(self, device_id: str, will: str) -> None:
        """Note what a device that went some time ago had wanted said."""
        self._presence.left_will(device_id, will)

    def tick(self, now_us: int) -> None:
        """Find silent devices and write presence down."""
        self._index.warm()
        self._presence.tick(now_us)

    def stop(self) -> None:
        """Write presence down."""
        self._index.close()
        self._presence.flush()

    def _announce(self, device_id: str, change: str) -> None:
        self._outbox.add(DeviceChanged(at_us=self._clock.now_us(), device_id=device_id, change=change))


def _details(device: Device) -> dict[str, Any]:
    details: dict[str, Any] = msgspec.to_builtins(device)
    return {name: value for name, value in details.items() if name in FIELDS}


def _difference(before: Device, after: Device) -> dict[str, Any]:
    old, new = _details(before), _details(after)
    return {name: {"before": old[name], "after": new[name]} for name in new if new[name] != old[name]}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else str(value)


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
