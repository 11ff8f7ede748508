"""The command service: requested → sent → acknowledged → effect seen, or an end with its reason."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from gulou.access import AuditDraft, Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.commands.active import ActiveCommands
from gulou.connectivity.commands.awaited import AwaitedSeries
from gulou.connectivity.commands.events import CommandChanged, CommandsIssued
from gulou.connectivity.commands.model import Command, CommandPage, CommandQuery, CommandRequest, CommandState
from gulou.connectivity.commands.ports import AuditEntries, CommandSender, DeviceBook
from gulou.connectivity.commands.request import make_command
from gulou.connectivity.commands.settings import CommandSettings
from gulou.connectivity.commands.store_sql import (
    delete_ended,
    find_command,
    insert_command,
    insert_commands,
    list_page,
    load_active,
    recent_ids,
    recorded,
    update_commands,
)
from gulou.connectivity.devices import DeviceConnected
from gulou.connectivity.intake import LogBatch, Reading, SeriesCatalogue, load_position, reading_at, save_position
from gulou.connectivity.outbox import Outbox
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Conflict, GulouError, NotFound, Unavailable
from gulou.kernel.ids import new_id
from gulou.records import Database

_DAY_US = 86_400 * SECOND_US
_WHOLE_SECOND_US = SECOND_US
"""A device that tells whole seconds may date an effect up to a second before the command."""

_RECORD_EVERY_S = 0.1
"""What is issued is recorded at once after a pause, and otherwise so often."""

_ROUNDING = 1e-9
"""1.6 is within 0.1 of 1.5, whatever binary fractions say."""


class CommandService:
    """Gives commands to devices and follows them to their end. Safe from any thread; a consumer of the log.

    A person's request is durable before it is sent. What is issued for a cause that is durable itself (``issue``) is
    sent at once and recorded just after, many in one transaction. What a device answers is kept in memory and written
    within a second (``tick``). Whatever of this is lost in a crash, the command is sent again under the same id, which
    devices take as the same, and has one record.

    Args:
        series: the intake's catalogue; None: columns are made objects first.
    """

    takes_columns = True

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        audit: AuditEntries,
        devices: DeviceBook,
        *,
        settings: CommandSettings | None = None,
        series: SeriesCatalogue | None = None,
    ) -> None:
        self.name = "commands"
        self.takes_columns = series is not None
        self._series = SeriesCatalogue() if series is None else series
        self._database = database
        self._clock = clock
        self._audit = audit
        self._devices = devices
        self._settings = settings or CommandSettings()
        self._outbox = Outbox(bus)
        self._guard = threading.RLock()
        self._senders: dict[str, CommandSender] = {}
        self._awaited = AwaitedSeries(self._series)
        self._active = ActiveCommands(self._awaited)
        self._dirty: dict[str, Command] = {}
        self._unrecorded: dict[str, _Issued] = {}
        self._recording = threading.Lock()
        self._cancelling: set[str] = set()  # nothing happens to these until it is written that they are cancelled
        self._known = OrderedDict.fromkeys(recent_ids(database, self._settings.remembered))
        self._durable = self._applied = load_position(database, self.name)
        self._retry_due_us = 0
        self._forget_due_us = 0
        for command in load_active(database):
            self._active.put(command)
        bus.subscribe(DeviceConnected, self._on_connected, name="commands")
        bus.subscribe(
            CommandsIssued,
            self._record_issued,
            name="commands.record",
            lossless=False,
            batch=True,
            gather_s=_RECORD_EVERY_S,
        )

    # --- asked by people, rules and incidents --------------------------------------------------------------------

    def request(self, request: CommandRequest, principal: Principal) -> Command:
        """Store a command and try to send it. A request with the id of an earlier one returns that one.

        Raises:
            NotFound: ``device.unknown``.
            Denied: ``access.denied``: ``device.command`` is needed for the device's department.
            Conflict: ``device.disabled``; ``command.id_taken``: the id belongs to a command for another device.
            Invalid: ``command.field_invalid``.
            Unavailable: ``command.too_many``.
        """
        device = self._devices.get_device(request.device_id)
        principal.require("device.command", device.department)
        now_us = self._clock.now_us()
        command_id = request.id or new_id("cmd", self._clock)
        command = make_command(request, command_id, principal, now_us, self._settings.max_parameters_bytes)
        with self._recording:  # what is issued meanwhile does not wait for the disk
            earlier = self._find(command_id) if request.id is not None else None
            if earlier is not None:
                if earlier.device_id != command.device_id:
                    raise Conflict("command.id_taken", id=command_id, device_id=earlier.device_id)
                return earlier
            if not device.enabled:
                raise Conflict("device.disabled", device_id=device.id)
            if len(self._active) >= self._settings.max_active:
                raise Unavailable("command.too_many", limit=self._settings.max_active)
            self._store(command, device.department, principal)
        with self._guard:
            self._remember(command_id)
            self._active.put(command)
            self._outbox.add(CommandChanged(at_us=now_us, command=command))
            self._try_send(command)
            current = self._active.get(command_id) or self._dirty.get(command_id) or command
        self._outbox.flush()
        return current

    def issue(self, requests: Sequence[CommandRequest], principal: Principal) -> list[Command | GulouError]:
        """Send commands at once, and record them just after.

        For causes that are durable already, and that would ask again after a crash: each request has the id that
        follows from its cause. One that was issued or requested before is not sent again.

        Returns:
            For each request the command as it stands, or why it is refused, as ``request`` raises it.
        """
        now_us = self._clock.now_us()
        with self._guard:
            outcomes = [self._issue_one(request, principal, now_us) for request in requests]
            if self._unrecorded:
                self._outbox.add(CommandsIssued(at_us=now_us))
        self._outbox.flush()
        return outcomes

    def cancel(self, command_id: str, principal: Principal) -> Command:
        """Take back a command that was not sent yet.

        Raises:
            NotFound: ``command.unknown``.
            Conflict: ``command.not_waiting``: it was sent or has ended.
        """
        with self._recording:
            self._write_now()  # so that it has a record
            command = self.get_command(command_id)
            device = self._devices.find_device(command.device_id)
            principal.require("device.command", None if device is None else device.department)
            with self._guard:  # only for the change: what is issued meanwhile does not wait for the disk
                command = self.get_command(command_id)
                if command.state != "requested":
                    raise Conflict("command.not_waiting", id=command_id, state=command.state)
                self._cancelling.add(command_id)
            try:
                ended = self._record_cancelled(command, principal)
                with self._guard:
                    self._active.put(ended)
                    self._dirty.pop(command_id, None)
                    self._outbox.add(CommandChanged(at_us=ended.ended_at_us or 0, command=ended))
            finally:
                self._go_on(command_id)
        self._outbox.flush()
        return ended

    def _record_cancelled(self, command: Command, principal: Principal) -> Command:
        ended = structs.replace(
            command, state="cancelled", reason="command.cancelled", ended_at_us=self._clock.now_us()
        )
        details = {"device_id": command.device_id, "name": command.name}
        with self._database.transaction(urgent=True) as connection:
            update_commands(connection, [ended])
            self._audit.record(principal, "command.cancelled", "command", command.id, details, connection=connection)
        return ended

    def _go_on(self, command_id: str) -> None:
        """Take a command up again; one that could not be cancelled is sent at its next chance."""
        with self._guard:
            self._cancelling.discard(command_id)
            if (command := self._active.get(command_id)) is not None:
                self._active.remind(command)

    def get_command(self, command_id: str) -> Command:
        """Return a command as it stands. Raises NotFound ``command.unknown``."""
        command = self._find(command_id)
        if command is None:
            raise NotFound("command.unknown", id=command_id[:512])
        return command

    def list_commands(self, query: CommandQuery) -> CommandPage:
        """Return a page, newest first.

        Raises:
            Invalid: ``command.page_limit``, ``command.cursor_malformed``.
        """
        self._write()
        return list_page(self._database, query)

    def active_count(self) -> int:
        """Return how many commands wait for something."""
        return len(self._active)

    # --- told by adapters ------------------------------------------------------------------------------------------

    def register_sender(self, adapter: str, sender: CommandSender) -> None:
        """Say who reaches the devices of an adapter."""
        self._senders[adapter] = sender

    def acknowledge(self, command_id: str, ok: bool, detail: str | None, at_us: int) -> Command:
        """Note a device's answer; a repeated or late one changes nothing.

        Raises:
            NotFound: ``command.unknown``.
        """
        with self._guard:
            command = self.get_command(command_id)
            if command.ended_at_us is not None or command.state == "acknowledged" or command_id in self._cancelling:
                return command
            reason = (detail or "")[:256] or None
            if not ok:
                command = self._change(command, "failed", reason=reason or "command.refused", ended=True)
            else:
                noted = structs.replace(command, acknowledged_at_us=at_us, sent_at_us=command.sent_at_us or at_us)
                command = self._change(noted, "acknowledged", reason=reason, ended=command.effect is None)
        self._outbox.flush()
        return command

    def device_available(self, device_id: str) -> None:
        """Send what waits for a device that can be reached now, and for those that speak through it."""
        with self._guard:
            for reached in (device_id, *self._devices.children(device_id)):
                for command in self._active.of_device(reached):
                    if command.state == "requested":
                        self._try_send(command)
        self._outbox.flush()

    # --- the log's consumer ------------------------------------------------------------------------------------------

    def position(self) -> int:
        return self._durable

    def apply(self, batch: LogBatch) -> None:
        """Look for effects."""
        if self._active.any_effects():
            for reading in batch.readings:
                if self._active.expects(reading.entity_id, reading.property):
                    self._observe(reading)
            if batch.columns is not None:
                with self._guard:
                    rows = self._awaited.rows(batch.columns)
                for row in rows.tolist():
                    self._observe(reading_at(batch.columns, row, self._series))
            self._outbox.flush()
        self._applied = max(self._applied, batch.sequence)

    def checkpoint(self) -> None:
        self._write(position=self._applied)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> None:
        """End what has waited too long, send again what was not answered, write down what changed."""
        with self._guard:
            retry = now_us >= self._retry_due_us
            if retry:
                self._retry_due_us = now_us + round(self._settings.retry_waiting_s * SECOND_US)
            for command in self._active.take_due(now_us):
                self._look_at(command, now_us)
            for command in self._active.requested() if retry else ():
                if (device := self._devices.find_device(command.device_id)) is not None and device.online:
                    self._try_send(command)
        self._outbox.flush()
        self._write()
        if now_us >= self._forget_due_us:
            self._forget_due_us = now_us + _DAY_US
            with self._database.transaction() as connection:
                delete_ended(connection, now_us - round(self._settings.keep_days * _DAY_US))

    def stop(self) -> None:
        """Write down what changed."""
        self._write()

    # --- inside, under the lock ------------------------------------------------------------------------------------

    def _find(self, command_id: str) -> Command | None:
        with self._guard:
            known = self._active.get(command_id) or self._dirty.get(command_id)
            if known is None and command_id in self._unrecorded:
                known = self._unrecorded[command_id].command
        return known or find_command(self._database, command_id)

    def _store(self, command: Command, department: str | None, principal: Principal) -> None:
        details = {"device_id": command.device_id, "name": command.name, "cause": command.cause}
        with self._database.transaction(urgent=True) as connection:
            insert_command(connection, command, department)
            self._audit.record(principal, "command.requested", "command", command.id, details, connection=connection)

    def _issue_one(self, request: CommandRequest, principal: Principal, now_us: int) -> Command | GulouError:
        command_id = request.id or new_id("cmd", self._clock)
        if command_id in self._known:
            earlier = self._find(command_id)
            if earlier is not None and earlier.device_id == request.device_id:
                return earlier
            if earlier is not None:
                return Conflict("command.id_taken", id=command_id, device_id=earlier.device_id)
        try:
            device = self._devices.get_device(request.device_id)
            principal.require("device.command", device.department)
            if not device.enabled:
                raise Conflict("device.disabled", device_id=device.id)
            if len(self._active) + len(self._unrecorded) >= self._settings.max_active:
                raise Unavailable("command.too_many", limit=self._settings.max_active)
            command = make_command(request, command_id, principal, now_us, self._settings.max_parameters_bytes)
        except GulouError as error:
            return error
        self._remember(command_id)
        self._active.put(command)
        self._unrecorded[command_id] = _Issued(command, device.department, principal)
        if not self._try_send(command):
            self._outbox.add(CommandChanged(at_us=now_us, command=command))
        return self._active.get(command_id) or self._dirty.get(command_id) or command

    def _remember(self, command_id: str) -> None:
        self._known[command_id] = None
        if len(self._known) > self._settings.remembered:
            self._known.popitem(last=False)

    def _record_issued(self, _messages: list[CommandsIssued]) -> None:
        """Record what was issued since; while this runs, the next ones gather."""
        self._write()

    def _change(
        self, command: Command, state: CommandState, *, reason: str | None = None, ended: bool = False
    ) -> Command:
        now_us = self._clock.now_us()
        changed = structs.replace(command, state=state, reason=reason, ended_at_us=now_us if ended else None)
        self._active.put(changed)
        self._dirty[command.id] = changed
        self._outbox.add(CommandChanged(at_us=now_us, command=changed))
        return changed

    def _try_send(self, command: Command) -> bool:
        if command.id in self._cancelling:
            return False
        device = self._devices.find_device(command.device_id)
        if device is None:
            self._change(command, "failed", reason="device.unknown", ended=True)
            return False
        sender = self._senders.get(device.adapter)
        if sender is None or not device.enabled:
            return False
        attempt = structs.replace(command, attempts=command.attempts + 1, sent_at_us=self._clock.now_us())
        if not sender.send(structs.replace(attempt, state="sent")):
            return False
        current = self._active.get(command.id)
        if current is not None and current.state in ("requested", "sent"):  # it may have been answered meanwhile
            self._change(attempt, "sent")
        return True

    def _look_at(self, command: Command, now_us: int) -> None:
        if command.state == "requested":
            if now_us >= command.expires_at_us and command.id not in self._cancelling:
                self._change(command, "expired", reason="command.expired", ended=True)
        elif command.state == "sent" and _passed(command.sent_at_us, command.acknowledge_within_s, now_us):
            self._send_again(command)
        elif command.state == "acknowledged" and _passed(command.acknowledged_at_us, command.effect_within_s, now_us):
            self._change(command, "timed_out", reason="command.effect_not_seen", ended=True)

    def _send_again(self, command: Command) -> None:
        """A sent command was not answered: repeat it, let it wait for a device that is away, or give up."""
        device = self._devices.find_device(command.device_id)
        if device is not None and device.sleepy:
            self._change(command, "requested")
        elif command.attempts > command.retries:
            self._change(command, "timed_out", reason="command.not_acknowledged", ended=True)
        elif not self._try_send(command) and (current := self._active.get(command.id)) is not None:
            self._change(current, "requested")

    def _observe(self, reading: Reading) -> None:
        with self._guard:
            for command in self._active.expecting(reading.entity_id, reading.property):
                if _shows(command, reading) and command.id not in self._cancelling:
                    noted = structs.replace(command, effect_seen_at_us=reading.observed_at_us)
                    self._change(noted, "effect_seen", ended=True)

    def _write(self, position: int | None = None) -> None:
        """Write what changed. The lock is not held while the disk works: commands go out meanwhile."""
        with self._recording:
            self._write_now(position)

    def _write_now(self, position: int | None = None) -> None:
        """See ``_write``; with ``_recording`` held."""
        with self._guard:
            issued, changed = dict(self._unrecorded), dict(self._dirty)
            moved = position is not None and position > self._durable
            if not issued and not changed and not moved:
                return
            stand = {one: self._active.get(one) or changed.get(one) or held.command for one, held in issued.items()}
        with self._database.transaction(urgent=True) as connection:
            there = recorded(connection, list(issued))
            new = [held for one, held in issued.items() if one not in there]
            insert_commands(connection, [(stand[one.command.id], one.department) for one in new])
            self._audit.record_all([one.draft for one in new], connection)
            ended = {one for one, has_ended in there.items() if has_ended}
            inserted = issued.keys() - there.keys()
            update_commands(connection, [command for one, command in changed.items() if one not in inserted | ended])
            if position is not None and moved:
                save_position(connection, self.name, position)
        with self._guard:
            self._forget_written(issued, changed, ended)
            if position is not None and moved:
                self._durable = position

    def _forget_written(self, issued: dict[str, _Issued], changed: dict[str, Command], ended: set[str]) -> None:
        for command_id in issued:
            del self._unrecorded[command_id]
        for command_id, command in changed.items():
            if self._dirty.get(command_id) is command:
                del self._dirty[command_id]
        for command_id in ended:  # sent once more, and ended before a restart: its record stands
            self._dirty.pop(command_id, None)
            again = self._active.get(command_id)
            if again is not None:
                self._active.put(structs.replace(again, ended_at_us=again.requested_at_us))

    def _on_connected(self, message: DeviceConnected) -> None:
        self.device_available(message.device_id)


class _Issued(NamedTuple):
    """A command that was issued and has no record yet."""

    command: Command
    department: str | None
    principal: Principal

    @property
    def draft(self) -> AuditDraft:
        command = self.command
        details = {"device_id": command.device_id, "name": command.name, "cause": command.cause}
        return AuditDraft(self.principal, "command.requested", "command", command.id, details)


def _passed(since_us: int | None, wait_s: float, now_us: int) -> bool:
    return since_us is not None and now_us >= since_us + round(wait_s * SECOND_US)


def _shows(command: Command, reading: Reading) -> bool:
    """Say whether a reading is the effect that a command that was sent should have."""
    effect = command.effect
    if effect is None or command.sent_at_us is None or reading.observed_at_us < command.sent_at_us - _WHOLE_SECOND_US:
        return False
    expected, value = effect.value, reading.value
    if isinstance(expected, str) or isinstance(value, (str, dict, list)):
        return expected == value
    return abs(float(value) - float(expected)) <= effect.tolerance + _ROUNDING * max(1.0, abs(float(expected)))
