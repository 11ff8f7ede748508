"""The endpoint: its thread, its loop, its listeners, and the way down to devices."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec
import uvloop

from gulou.connectivity.commands.model import Command
from gulou.kernel.clock import SECOND_US, to_rfc3339
from gulou.kernel.errors import Invalid, Unavailable
from gulou.sensing.adapters.mqtt.codec import Connect, Publish, Reason
from gulou.sensing.adapters.mqtt.endpoint.connection import Connection
from gulou.sensing.adapters.mqtt.endpoint.reading import PublishReader
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session, Sessions
from gulou.sensing.adapters.mqtt.endpoint.topics import command_topic
from gulou.sensing.adapters.mqtt.endpoint.uplink import Uplink
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import AdapterContext, Counters, DeviceDirectory

_log = logging.getLogger(__name__)
_SWEEP_S = 0.5
_FAREWELL_S = 1.0
_CHECKERS = 4
_BACKLOG = 1_024


class Endpoint:
    """Where devices connect by MQTT. Its loop never waits for a database or a hash: those have threads of their own.

    Args:
        names: source of the account, and name/version kept with submissions.
    """

    def __init__(
        self, settings: MqttSettings, context: AdapterContext, counters: Counters, names: tuple[str, str]
    ) -> None:
        self.settings = settings
        self.counters = counters
        self.directory: DeviceDirectory = context.devices
        self.reader = PublishReader(context)
        self.addresses: dict[str, tuple[str, int]] = {}
        self._context = context
        self._names = names
        self._sessions = Sessions(settings.max_sessions, settings.session_expiry_s)
        self._connections: set[Connection] = set()
        self._checking: dict[Connection, str] = {}
        self._leaving: set[asyncio.Future[None]] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._farewell: asyncio.Future[None] | None = None
        self._running = False
        self._gate = ThreadPoolExecutor(_CHECKERS, "mqtt-credentials")
        self._desk = ThreadPoolExecutor(1, "mqtt-desk")  # one: connected and disconnected must not change places

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; returns when devices can connect.

        Raises:
            Unavailable: ``adapter.port_in_use``.
            Invalid: ``adapter.certificate_broken``.
        """
        tls = self._tls_context()
        loop = self._loop = uvloop.new_event_loop()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(loop, tls, opened), name="mqtt-endpoint", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except OSError as error:
            self._thread.join()
            raise Unavailable(
                "adapter.port_in_use", adapter="mqtt", address=f"{self.settings.host}:{self.settings.port}"
            ) from error
        self._running = True

    def stop(self, timeout_s: float) -> None:
        """Finish what was taken, tell the devices, close. Idempotent."""
        loop, thread = self._loop, self._thread
        if not self._running or loop is None or thread is None:
            return
        self._running = False
        asyncio.run_coroutine_threadsafe(self._wind_down(timeout_s), loop).result(timeout_s + 5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout_s)
        self._gate.shutdown(wait=False)
        self._desk.shutdown(wait=True)

    def _run(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None, opened: Future[None]) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._listen(loop, tls))
        except OSError as error:
            loop.run_until_complete(self._close_servers())
            loop.close()
            opened.set_exception(error)
            return
        sweeper = loop.create_task(self._sweep())
        opened.set_result(None)
        loop.run_forever()
        sweeper.cancel()
        loop.run_until_complete(asyncio.gather(sweeper, return_exceptions=True))
        loop.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        wanted: list[tuple[str, int, ssl.SSLContext | None]] = [("mqtt", self.settings.port, None)]
        if tls is not None and self.settings.tls_port is not None:
            wanted.append(("mqtts", self.settings.tls_port, tls))
        for name, port, context in wanted:
            server = await loop.create_server(
                lambda: Connection(self), self.settings.host, port, ssl=context, backlog=_BACKLOG
            )
            self._servers.append(server)
            host, real_port = server.sockets[0].getsockname()[:2]
            self.addresses[name] = (host, real_port)

    def _tls_context(self) -> ssl.SSLContext | None:
        settings = self.settings
        if settings.tls_port is None or settings.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            file = str(settings.tls_certificate)
            raise Invalid("adapter.certificate_broken", file=file, detail=str(error)) from error
        return context

    async def _wind_down(self, timeout_s: float) -> None:
        await self._close_servers()
        finishing = [asyncio.ensure_future(one.finish()) for one in self._connections]
        if finishing:
            await asyncio.wait(finishing, timeout=timeout_s)
        for connection in list(self._connections):
            connection.end(Reason.SERVER_SHUTTING_DOWN, "closed")
        if self._connections:
            await asyncio.wait({self._all_gone()}, timeout=_FAREWELL_S)
        if self._leaving:
            await asyncio.wait(set(self._leaving), timeout=timeout_s)

    def _all_gone(self) -> asyncio.Future[None]:
        """Return a future that is done when the last connection is gone."""
        self._farewell = asyncio.get_running_loop().create_future()
        return self._farewell

    async def _close_servers(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_s = self.loop_time()
            for connection in list(self._connections):
                connection.check_time(now_s)
            self._sessions.forget_expired(now_s)

    # -- connections call these, on the loop ---------------------------------------------------------------------

    def loop_time(self) -> float:
        """Return the loop's own time, seconds; for time-outs, not for the world's time."""
        return self._loop.time() if self._loop is not None else 0.0

    def admit(self, connection: Connection) -> bool:
        """Let a connection in unless there are too many."""
        if len(self._connections) >= self.settings.max_connections:
            self.counters.refused()
            return False
        self._connections.add(connection)
        self.counters.opened()
        return True

    def forget(self, connection: Connection, reason: str) -> None:
        """Clean up behind a connection."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._checking.pop(connection, None)
        if connection.unfinished:
            task = asyncio.ensure_future(connection.finish())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        if not self._connections and self._farewell is not None and not self._farewell.done():
            self._farewell.set_result(None)
        self.counters.closed()
        session = connection.session
        if session is None or session.connection is not connection:
            return
        if self._sessions.detach(session, self.loop_time()):
            self._desk.submit(self.directory.disconnected, session.device_id, reason)

    def new_uplink(self, acknowledge: Callable[[list[int]], None], ready: Callable[[], None]) -> Uplink:
        """Make a connection's way up."""
        return Uplink(self._context.intake, self.reader, self._desk, self.counters, self._names, acknowledge, ready)

    def new_client_id(self) -> str:
        """Make an id for a client that gave none."""
        return f"auto-{secrets.token_hex(8)}"

    def check_credentials(self, connection: Connection, packet: Connect) -> None:
        """Check off the loop; ``connection.admitted`` follows."""
        loop = self._loop
        if loop is None:
            return

        def answer(checked: Future[Reason]) -> None:
            error = checked.exception()
            reason = Reason.SERVER_UNAVAILABLE if error is not None else checked.result()
            if error is not None:
                _log.warning("mqtt: credentials could not be checked: %s", error)
            device_id = packet.username if reason is Reason.SUCCESS else None
            if self._running:
                loop.call_soon_threadsafe(self._checked, connection, packet, device_id, reason)

        self._checking[connection] = packet.username or ""
        self._gate.submit(self._check, packet).add_done_callback(answer)

    def _checked(self, connection: Connection, packet: Connect, device_id: str | None, reason: Reason) -> None:
        self._checking.pop(connection, None)
        connection.admitted(packet, device_id, reason)

    def _check(self, packet: Connect) -> Reason:
        device_id = packet.username or ""
        try:
            secret = (packet.password or b"").decode()
        except UnicodeDecodeError:
            return Reason.BAD_CREDENTIALS
        if not self._context.credentials.verify(device_id, secret):
            return Reason.BAD_CREDENTIALS
        device = self.directory.find_device(device_id)
        return Reason.SUCCESS if device is not None and device.enabled else Reason.NOT_AUTHORISED

    def take_session(
        self, connection: Connection, device_id: str, client_id: str, clean: bool, expiry_s: int
    ) -> tuple[Session, bool]:
        """Open or resume a session; an older connection of the same client ends. Source: MQTT 5.0 §3.1.4."""
        former = self._sessions.find(device_id, client_id)
        if former is not None and former.connection is not None:
            old, former.connection = former.connection, None
            old.end(Reason.SESSION_TAKEN_OVER, "taken_over")
            if clean:  # the device stays present, by this connection
                connection.took_over = self._sessions.detach(former, self.loop_time())
        return self._sessions.open(device_id, client_id, clean=clean, expiry_s=expiry_s)

    def opened(self, connection: Connection, session: Session) -> None:
        """Note that a device is there."""
        if self._sessions.attach(session, connection) and not connection.took_over:
            self._desk.submit(self.directory.connected, session.device_id)

    def announce(self, device_ids: list[str]) -> None:
        """Tell the command service whom it can reach now."""
        commands = self._context.commands
        if commands is not None:
            for device_id in dict.fromkeys(device_ids):
                self._desk.submit(commands.device_available, device_id)

    # -- the house calls these, any thread -----------------------------------------------------------------------

    def end_connections(self, device_id: str) -> None:
        """End a device's connections, and those whose secret is just being checked: by the old one, perhaps."""
        loop = self._loop
        if self._running and loop is not None:
            loop.call_soon_threadsafe(self._end_connections, device_id)

    def _end_connections(self, device_id: str) -> None:
        for line in self._sessions.lines(device_id):
            line.end(Reason.ADMINISTRATIVE_ACTION, "closed")
        for connection in [one for one, claimed in self._checking.items() if claimed == device_id]:
            connection.end(None, "closed")
        if self.directory.find_device(device_id) is None:  # who gets this id next is another device
            self._sessions.forget(device_id)

    def send(self, command: Command) -> bool:
        """Hand a command to its device's connection, or its gateway's; False when neither hears it now."""
        loop = self._loop
        device = self.directory.find_device(command.device_id)
        if not self._running or loop is None or device is None:
            return False
        found = self._sessions.reach(command.device_id, device.gateway_id)
        if found is None:
            return False
        session, qos = found
        connection = session.connection
        if connection is None or not connection.has_room():
            return False
        loop.call_soon_threadsafe(connection.deliver, self._publish_of(command, qos))
        self.counters.command_sent()
        return True

    def _publish_of(self, command: Command, qos: int) -> Publish:
        payload = msgspec.json.encode(
            {
                "id": command.id,
                "name": command.name,
                "parameters": command.parameters,
                "requestedAt": to_rfc3339(command.requested_at_us),
                "expiresAt": to_rfc3339(command.expires_at_us),
            }
        )
        left_s = max(1, (command.expires_at_us - self._context.clock.now_us()) // SECOND_US)
        properties = {
            "message_expiry_interval": min(left_s, 0xFFFFFFFF),
            "content_type": "application/json",
            "correlation_data": command.id.encode(),
        }
        return Publish(command_topic(command.device_id), payload, qos, properties=properties)
