"""The command service: requested → sent → acknowledged → effect seen, or an end with its reason."""

from __future__ import annotations

import threading

from msgspec import structs

from gulou.access import Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.commands.active import ActiveCommands
from gulou.connectivity.commands.events import CommandChanged
from gulou.connectivity.commands.model import Command, CommandPage, CommandQuery, CommandRequest, CommandState
from gulou.connectivity.commands.ports import CommandSender, DeviceBook
from gulou.connectivity.commands.request import make_command
from gulou.connectivity.commands.settings import CommandSettings
from gulou.connectivity.commands.store_sql import (
    delete_ended,
    find_command,
    insert_command,
    list_page,
    load_active,
    update_commands,
)
from gulou.connectivity.devices import AuditTrail, DeviceConnected
from gulou.connectivity.intake import LogBatch, Reading, load_position, save_position
from gulou.connectivity.outbox import Outbox
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Conflict, NotFound, Unavailable
from gulou.kernel.ids import new_id
from gulou.records import Database

_DAY_US = 86_400 * SECOND_US
_WHOLE_SECOND_US = SECOND_US
"""A device that tells whole seconds may date an effect up to a second before the command."""

_ROUNDING = 1e-9
"""1.6 is within 0.1 of 1.5, whatever binary fractions say."""


class CommandService:
    """Gives commands to devices and follows them to their end. Safe from any thread; a consumer of the log.

    A request is durable before it is sent. What a device answers is kept in memory and written within a second
    (``tick``): if that is lost in a crash, the command is sent again under the same id, which devices take as the same.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        audit: AuditTrail,
        devices: DeviceBook,
        *,
        settings: CommandSettings | None = None,
    ) -> None:
        self.name = "commands"
        self._database = database
        self._clock = clock
        self._audit = audit
        self._devices = devices
        self._settings = settings or CommandSettings()
        self._outbox = Outbox(bus)
        self._guard = threading.RLock()
        self._senders: dict[str, CommandSender] = {}
        self._active = ActiveCommands()
        self._dirty: dict[str, Command] = {}
        self._durable = self._applied = load_position(database, self.name)
        self._retry_due_us = 0
        self._forget_due_us = 0
        for command in load_active(database):
            self._active.put(command)
        bus.subscribe(DeviceConnected, self._on_connected, name="commands")

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
        with self._guard:
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
            self._active.put(command)
            self._outbox.add(CommandChanged(at_us=now_us, command=command))
            self._try_send(command)
            current = self._active.get(command_id) or self._dirty.get(command_id) or command
        self._outbox.flush()
        return current

    def cancel(self, command_id: str, principal: Principal) -> Command:
        """Take back a command that was not sent yet.

        Raises:
            NotFound: ``command.unknown``.
            Conflict: ``command.not_waiting``: it was sent or has ended.
        """
        with self._guard:
            command = self.get_command(command_id)
            device = self._devices.find_device(command.device_id)
            principal.require("device.command", None if device is None else device.department)
            if command.state != "requested":
                raise Conflict("command.not_waiting", id=command_id, state=command.state)
            ended = self._change(command, "cancelled", reason="command.cancelled", ended=True)
            with self._database.transaction(urgent=True) as connection:
                update_commands(connection, [ended])
                details = {"device_id": command.device_id, "name": command.name}
                self._audit.record(
                    principal, "command.cancelled", "command", command_id, details, connection=connection
                )
            self._dirty.pop(command_id, None)
        self._outbox.flush()
        return ended

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
            if command.ended_at_us is not None or command.state == "acknowledged":
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
            for command in self._active.all():
                self._look_at(command, now_us, retry=retry)
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
        return known or find_command(self._database, command_id)

    def _store(self, command: Command, department: str | None, principal: Principal) -> None:
        details = {"device_id": command.device_id, "name": command.name, "cause": command.cause}
        with self._database.transaction(urgent=True) as connection:
            insert_command(connection, command, department)
            self._audit.record(principal, "command.requested", "command", command.id, details, connection=connection)

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

    def _look_at(self, command: Command, now_us: int, *, retry: bool) -> None:
        if command.state == "requested":
            if now_us >= command.expires_at_us:
                self._change(command, "expired", reason="command.expired", ended=True)
            elif retry and (device := self._devices.find_device(command.device_id)) is not None and device.online:
                self._try_send(command)
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
                if _shows(command, reading):
                    noted = structs.replace(command, effect_seen_at_us=reading.observed_at_us)
                    self._change(noted, "effect_seen", ended=True)

    def _write(self, position: int | None = None) -> None:
        with self._guard:
            changed = list(self._dirty.values())
            moved = position is not None and position > self._durable
            if not changed and not moved:
                return
            with self._database.transaction(urgent=True) as connection:
                update_commands(connection, changed)
                if position is not None and moved:
                    save_position(connection, self.name, position)
            self._dirty.clear()
            if position is not None and moved:
                self._durable = position

    def _on_connected(self, message: DeviceConnected) -> None:
        self.device_available(message.device_id)


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
