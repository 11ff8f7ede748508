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
from gulou.connectivity.intake import Payload
from gulou.kernel.clock import SECOND_US, to_rfc3339
from gulou.kernel.errors import Unavailable
from gulou.sensing.adapters.mqtt.codec import Connect, Publish, Reason, Will
from gulou.sensing.adapters.mqtt.endpoint.connection import Connection
from gulou.sensing.adapters.mqtt.endpoint.exchange import Exchange
from gulou.sensing.adapters.mqtt.endpoint.fast import Carrier, Gatherer, Lane, Routes
from gulou.sensing.adapters.mqtt.endpoint.grants import Grants, is_own_tree
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.limits import Bucket, DeviceBuckets, Doorkeeper
from gulou.sensing.adapters.mqtt.endpoint.reading import Answer, PublishReader
from gulou.sensing.adapters.mqtt.endpoint.sessions import Session, Sessions
from gulou.sensing.adapters.mqtt.endpoint.tls import make_context
from gulou.sensing.adapters.mqtt.endpoint.topics import command_topic, may_speak_for, parse_device_topic
from gulou.sensing.adapters.mqtt.endpoint.uplink import Message, Relayed, Uplink
from gulou.sensing.adapters.mqtt.endpoint.wills import Wills, note_of, publish_of
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import AdapterContext, Counters, DeviceDirectory

_log = logging.getLogger(__name__)
_SWEEP_S = 0.5
_FAREWELL_S = 1.0
_CHECKERS = 4
_BACKLOG = 1_024
_STORE = "mqtt-sessions.db"


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
        self.clock = context.clock
        self.grants = Grants(context.devices)
        self.store = SessionStore(None if context.directory is None else context.directory / _STORE)
        self.exchange = Exchange(settings, self.grants, self.store, counters, context.clock)
        self._context = context
        self._names = names
        self._gate = ThreadPoolExecutor(_CHECKERS, "mqtt-credentials")
        self._desk = ThreadPoolExecutor(1, "mqtt-desk")  # one: connected and disconnected must not change places
        self._wills = Wills(self._carry_out)
        self._doorkeeper = Doorkeeper(
            settings.max_connections_per_address, settings.connections_per_s, settings.failed_sign_ins_per_min
        )
        self._buckets = DeviceBuckets(settings.messages_per_s)
        self._routes: Routes | None = None
        if settings.fast and context.vocabulary is not None:
            self._routes = Routes(context.devices, context.vocabulary, context.intake.series)
        self._gatherer: Gatherer | None = None
        self._last_words = self.new_uplink(_nothing, _nothing, _nothing)
        self._sessions = Sessions(settings.max_sessions, settings.session_expiry_s)
        self._connections: set[Connection] = set()
        self._checking: dict[Connection, str] = {}
        self._leaving: set[asyncio.Future[None]] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._farewell: asyncio.Future[None] | None = None
        self._running = False

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; returns when devices can connect.

        Raises:
            Unavailable: ``adapter.port_in_use``.
            Invalid: ``adapter.certificate_broken``.
            Fault: ``adapter.store_broken``.
        """
        tls = make_context(self.settings)
        self._restore()
        loop = self._loop = uvloop.new_event_loop()
        self.gather_on(loop)
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(loop, tls, opened), name="mqtt-endpoint", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except OSError as error:
            self._thread.join()
            self.store.close()
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
        self._hand_over_presence()
        self._gate.shutdown(wait=False)
        self._desk.shutdown(wait=True)
        self.store.close()

    def gather_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the quick way on a loop, where there is one."""
        if self._routes is not None:
            carrier = Carrier(loop, self._context.intake, self.counters, self._names)
            self._gatherer = Gatherer(loop, self._routes, carrier, self.clock, self.settings.max_packet_bytes)

    def _restore(self) -> None:
        """Take up the sessions of before; those that were connected when the process ended are away since now."""
        self.store.open()
        sessions, retained = self.store.load()
        now_us = self.clock.now_us()
        for session in sessions:
            session.ended_at_us = session.ended_at_us or now_us
        sessions.sort(key=lambda one: one.ended_at_us)
        for session in sessions:
            self._sessions.restore(session)
        self.exchange.restore(sessions, retained)
        self._forget_ended()

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
                lambda: Connection(self),
                self.settings.host,
                port,
                ssl=context,
                backlog=_BACKLOG,
                ssl_handshake_timeout=None if context is None else self.settings.connect_timeout_s,
            )
            self._servers.append(server)
            host, real_port = server.sockets[0].getsockname()[:2]
            self.addresses[name] = (host, real_port)

    async def _wind_down(self, timeout_s: float) -> None:
        await self._close_servers()
        finishing = [asyncio.ensure_future(one.finish()) for one in self._connections]
        finishing.append(asyncio.ensure_future(self._last_words.finish()))
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
            self._hand_over_presence()
            self._wills.carry_out_due(now_s)
            self._sessions.forget_expired(self.clock.now_us())
            self._forget_ended()

    def _hand_over_presence(self) -> None:
        """Tell the registry who has sent by the quick way; the general way tells it at each message."""
        if self._routes is not None:
            numbers, at_us = self._routes.take_seen()
            if len(numbers):
                self._desk.submit(self.directory.seen_many, numbers, at_us)

    def _forget_ended(self) -> None:
        """What a session has is over with it: its messages, its place among the subscribers, the delay of its will."""
        for session in self._sessions.take_ended():
            self.store.forget(session)
            self.exchange.forget(session)
            self._wills.session_ended(session)

    # -- connections call these, on the loop ---------------------------------------------------------------------

    def loop_time(self) -> float:
        """Return the loop's own time, seconds; for time-outs, not for the world's time."""
        return self._loop.time() if self._loop is not None else 0.0

    def admit(self, connection: Connection) -> bool:
        """Let a connection in unless there are too many, at all or of its address."""
        room = len(self._connections) < self.settings.max_connections
        if not room or not self._doorkeeper.come(connection.address, self.loop_time()):
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
        self._doorkeeper.go(connection.address)
        self._checking.pop(connection, None)
        if connection.unfinished:
            task = asyncio.ensure_future(connection.finish())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        if not self._connections and self._farewell is not None and not self._farewell.done():
            self._farewell.set_result(None)
        self.counters.closed()
        session = connection.session
        if session is None:
            return
        self._buckets.give_back(session.device_id)
        will = self._will_of(connection, session)
        if session.connection is not connection:
            return
        if self._sessions.detach(session, self.clock.now_us()):
            self._desk.submit(self.directory.disconnected, session.device_id, reason, will)
        self.store.session(session)
        self._forget_ended()

    def _will_of(self, connection: Connection, session: Session) -> str | None:
        """See to the will of a connection that is gone; returns what is to be noted of it now.

        The end of this process is nobody's death. Source: MQTT 5.0 §3.1.2.5, §3.1.3.2.2.
        """
        will, connection.will = connection.will, None
        if will is None or not self._running:
            return None
        goes_on = session.connection is not None and session.connection is not connection
        if goes_on and will.properties.get("will_delay_interval", 0):
            return None
        if goes_on or self._sessions.find(*session.key) is not session:
            self._carry_out(session, will, later=False)
            return None
        return note_of(will) if self._wills.leave(session, will, self.loop_time()) else None

    def _carry_out(self, session: Session, will: Will, later: bool) -> None:
        """Publish a will where its device may publish; elsewhere it is only noted."""
        self.counters.will()
        if later:
            self._desk.submit(self.directory.left_will, session.device_id, note_of(will))
        publish = publish_of(will)
        content: Payload | Answer | Relayed | None = None
        if is_own_tree(will.topic):
            own = parse_device_topic(will.topic)
            if own is not None and own[1] != "acks" and may_speak_for(self.directory, session.device_id, own[0]):
                content = self.reader.read(publish, session.device_id)
        else:
            relayed = self.relay(session, publish)
            content = relayed or self.reader.read_if_mapped(publish, session.device_id)
        if content is not None:
            self._last_words.put(Message(1 if will.qos else None, content, self.loop_time()))
            self._last_words.flush()

    def relay(self, session: Session, publish: Publish) -> Relayed | None:
        """Pass a message on to the devices that hear it; None when its sender is not granted the topic."""
        if not self.grants.may_say(session.device_id, publish.topic):
            return None
        count, keep = self.exchange.publish(session, publish)
        if count:
            self.counters.relayed(count)
        payload = self.reader.read_if_mapped(publish, session.device_id)
        return Relayed(publish.payload, self.store.kept() if keep else None, payload)

    def received(self, session: Session, packet_ids: list[int]) -> None:
        """Confirm messages of QoS 2 that are durable: first their identifiers are kept, so that none counts twice."""
        self.store.session(session)
        kept = self.store.kept() if session.expiry_s else None
        loop = self._loop
        if kept is None or loop is None:
            _confirm(session, packet_ids)
            return

        def tell(_kept: Future[None]) -> None:
            if self._running:
                loop.call_soon_threadsafe(_confirm, session, packet_ids)

        kept.add_done_callback(tell)

    def new_uplink(
        self, acknowledge: Callable[[list[int]], None], ready: Callable[[], None], give_up: Callable[[list[int]], None]
    ) -> Uplink:
        """Make a connection's way up."""
        return Uplink(
            self._context.intake, self.reader, self._desk, self.counters, self._names, acknowledge, ready, give_up
        )

    def new_lane(self, connection: Connection, uplink: Uplink, device_id: str) -> Lane | None:
        """Make a connection's quick way up; None where everything goes the general way."""
        return None if self._gatherer is None else Lane(self._gatherer, connection, uplink, device_id)

    def new_client_id(self) -> str:
        """Make an id for a client that gave none."""
        return f"auto-{secrets.token_hex(8)}"

    def check_credentials(self, connection: Connection, packet: Connect) -> None:
        """Check off the loop; ``connection.admitted`` follows."""
        loop = self._loop
        if loop is None:
            return
        if not self._doorkeeper.may_sign_in(connection.address, self.loop_time()):
            connection.admitted(packet, None, Reason.CONNECTION_RATE_EXCEEDED)
            return
        claimed = connection.certified if packet.password is None else packet.username

        def answer(checked: Future[Reason]) -> None:
            error = checked.exception()
            reason = Reason.SERVER_UNAVAILABLE if error is not None else checked.result()
            if error is not None:
                _log.warning("mqtt: credentials could not be checked: %s", error)
            device_id = claimed if reason is Reason.SUCCESS else None
            if self._running:
                loop.call_soon_threadsafe(self._checked, connection, packet, device_id, reason)

        self._checking[connection] = claimed or ""
        self._gate.submit(self._check, packet, connection.certified).add_done_callback(answer)

    def _checked(self, connection: Connection, packet: Connect, device_id: str | None, reason: Reason) -> None:
        self._checking.pop(connection, None)
        if reason is Reason.BAD_CREDENTIALS:
            self._doorkeeper.failed(connection.address, self.loop_time())
        connection.admitted(packet, device_id, reason)

    def _check(self, packet: Connect, certified: str | None) -> Reason:
        """Check a secret, or that who has a certificate and no secret claims to be nobody else."""
        device_id = packet.username or ""
        if packet.password is None:
            if certified is None or device_id not in ("", certified):
                return Reason.BAD_CREDENTIALS
            device_id = certified
        else:
            try:
                secret = packet.password.decode()
            except UnicodeDecodeError:
                return Reason.BAD_CREDENTIALS
            if not self._context.credentials.verify(device_id, secret):
                return Reason.BAD_CREDENTIALS
        device = self.directory.find_device(device_id)
        return Reason.SUCCESS if device is not None and device.enabled else Reason.NOT_AUTHORISED

    def take_session(
        self, connection: Connection, device_id: str, client_id: str, clean: bool, expiry_s: int
    ) -> tuple[Session, bool] | None:
        """Open or resume a session; an older connection of the same client ends. None: the device has too many.

        Source: MQTT 5.0 §3.1.4.
        """
        former = self._sessions.find(device_id, client_id)
        here = former is not None and former.connection is not None
        if not here and len(self._sessions.lines(device_id)) >= self.settings.max_connections_per_device:
            return None
        if former is not None and former.connection is not None:
            old, former.connection = former.connection, None
            old.end(Reason.SESSION_TAKEN_OVER, "taken_over")
            if clean:  # the device stays present, by this connection
                connection.took_over = self._sessions.detach(former, self.clock.now_us())
        session, present = self._sessions.open(device_id, client_id, clean=clean, expiry_s=expiry_s)
        self._forget_ended()
        self._wills.cancel(session)
        session.ended_at_us = 0
        self.store.session(session)
        return session, present

    def opened(self, connection: Connection, session: Session) -> Bucket:
        """Note that a device is there; returns what its messages are counted against."""
        if self._sessions.attach(session, connection) and not connection.took_over:
            self._desk.submit(self.directory.connected, session.device_id)
        return self._buckets.take(session.device_id, self.loop_time())

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
            self._forget_ended()

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


def _confirm(session: Session, packet_ids: list[int]) -> None:
    if session.connection is not None:
        session.connection.confirm_received(packet_ids)


def _nothing(_numbers: list[int] | None = None) -> None:
    """Nobody waits for a will."""
