"""Registers and changes devices in bulk, some hundred lines in a transaction."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from gulou.access import Principal
from gulou.connectivity.devices.bulk import BulkFields, Line
from gulou.connectivity.devices.editing import Editor
from gulou.connectivity.devices.index import DeviceIndex
from gulou.connectivity.devices.model import BulkLine, BulkReport, Device
from gulou.connectivity.devices.ports import AuditTrail, CredentialKeeper
from gulou.connectivity.devices.store_sql import insert_rows, update_rows
from gulou.kernel.errors import GulouError, Invalid
from gulou.records import Database

_AUDITED_IDS = 100
_SHOWN_LINES = 1_000


class Provisioner:
    """Takes one bulk file, part by part; the registry's lock is held meanwhile.

    Args:
        announce: told (device id, ``created``, ``updated`` or ``credentials``) of what was written.
    """

    def __init__(
        self,
        database: Database,
        index: DeviceIndex,
        editor: Editor,
        audit: AuditTrail,
        credentials: CredentialKeeper,
        principal: Principal,
        *,
        announce: Callable[[str, str], None],
        dry_run: bool,
        make_secrets: bool,
    ) -> None:
        self._database = database
        self._index = index
        self._editor = editor
        self._audit = audit
        self._credentials = credentials
        self._principal = principal
        self._announce = announce
        self._dry_run = dry_run
        self._make_secrets = make_secrets
        self._named: set[str] = set()
        self._would_exist: set[str] = set()

    def take(self, part: list[Line]) -> list[BulkLine]:
        """Check the lines of a part, write the good ones in one transaction, and say what became of each."""
        plan = _Plan()
        self._index.load(fields.id for _, fields in part if isinstance(fields, BulkFields))
        lines = [self._take_line(plan, number, fields) for number, fields in part]
        if self._dry_run:
            self._would_exist.update(plan.created)
            return lines
        made = self._write(plan)
        return [structs.replace(line, secret=made.get(line.device_id or "")) for line in lines]

    def _take_line(self, plan: _Plan, number: int, fields: BulkFields | GulouError) -> BulkLine:
        if isinstance(fields, GulouError):
            return BulkLine(number, None, "failed", fields.code, dict(fields.params))
        try:
            return BulkLine(number, fields.id, self._plan(plan, fields))
        except GulouError as error:
            return BulkLine(number, fields.id, "failed", error.code, dict(error.params))

    def _plan(self, plan: _Plan, fields: BulkFields) -> str:
        if fields.id in self._named:
            raise Invalid("device.line_repeated", device_id=fields.id)
        self._named.add(fields.id)
        secret = fields.secret if isinstance(fields.secret, str) else None
        if secret is not None and not 8 <= len(secret) <= 256:
            raise Invalid("device.field_invalid", device_id=fields.id, field="secret", allowed="8-256 characters")
        known = self._index.get(fields.id)
        result = self._plan_new(plan, fields) if known is None else self._plan_change(plan, known.device, fields)
        if secret is not None:
            plan.secrets[fields.id] = secret
        return result

    def _plan_new(self, plan: _Plan, fields: BulkFields) -> str:
        changes = fields.changes()
        if "adapter" not in changes:
            raise Invalid("device.field_invalid", device_id=fields.id, field="adapter", allowed="mqtt, http, …")
        device = Device(**({"name": fields.id} | changes))
        self._principal.require("device.write", device.department)
        planned = self._would_exist | plan.created.keys() if self._dry_run else plan.created.keys()
        plan.created[device.id] = self._editor.fresh(device, planned)
        return "created"

    def _plan_change(self, plan: _Plan, before: Device, fields: BulkFields) -> str:
        self._principal.require("device.write", before.department)
        after = self._editor.changed(before, fields.changes(), plan.created.keys())
        self._principal.require("device.write", after.department)
        if after == before:
            return "unchanged"
        plan.updated[after.id] = structs.replace(after, version=before.version + 1)
        return "updated"

    def _write(self, plan: _Plan) -> dict[str, str]:
        """Write a part; return the secrets that were made up."""
        if not (plan.created or plan.updated or plan.secrets):
            return {}
        made: dict[str, str] = {}
        with self._database.transaction() as connection:
            insert_rows(connection, plan.created.values())
            update_rows(connection, plan.updated.values())
            if plan.secrets:
                self._credentials.set_many(plan.secrets, connection=connection)
            if self._make_secrets:
                without = [device_id for device_id in plan.created if device_id not in plan.secrets]
                made = self._credentials.issue_many(without, connection=connection)
            written = [*plan.created, *plan.updated, *(plan.secrets.keys() - plan.created.keys() - plan.updated.keys())]
            for begin in range(0, len(written), _AUDITED_IDS):
                ids = written[begin : begin + _AUDITED_IDS]
                self._audit.record(
                    self._principal, "device.bulk_written", "device", ids[0], {"ids": ids}, connection=connection
                )
        for change, devices in (("created", plan.created), ("updated", plan.updated)):
            for device in devices.values():
                self._index.put(device)
                self._announce(device.id, change)
        for device_id in plan.secrets.keys() - plan.created.keys():
            self._announce(device_id, "credentials")
        return made


class _Plan:
    """What a part of a bulk file will do."""

    def __init__(self) -> None:
        self.created: dict[str, Device] = {}
        self.updated: dict[str, Device] = {}
        self.secrets: dict[str, str] = {}


def make_report(results: list[BulkLine], *, dry_run: bool) -> BulkReport:
    """Sum up what became of the lines."""
    counts = {"created": 0, "updated": 0, "unchanged": 0, "failed": 0}
    for line in results:
        counts[line.result] += 1
    failed = [line for line in results if line.result == "failed"]
    with_secret = [line for line in results if line.secret is not None]
    return BulkReport(
        dry_run=dry_run,
        created=counts["created"],
        updated=counts["updated"],
        unchanged=counts["unchanged"],
        failed=counts["failed"],
        lines=(*failed[:_SHOWN_LINES], *with_secret),
    )
