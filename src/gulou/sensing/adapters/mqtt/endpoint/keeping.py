"""What outlives the process: sessions, messages that devices have not confirmed, retained messages. One SQLite file.

The endpoint's loop notes changes in memory; a thread writes what has gathered, in one transaction after another. A note
that is undone before it was written costs nothing.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from gulou.kernel.errors import Fault
from gulou.sensing.adapters.mqtt.endpoint.sessions import Outgoing, Session, Subscription

_log = logging.getLogger(__name__)
_LAYOUT = 1
_LINGER_S = 0.2
_RETRY_S = 1.0
_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
  device TEXT, client TEXT, body BLOB NOT NULL, PRIMARY KEY (device, client)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
  number INTEGER PRIMARY KEY, device TEXT NOT NULL, client TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS retained (topic TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_WRITE = {
    "session": "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)",
    "message": "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?)",
    "retained": "INSERT OR REPLACE INTO retained VALUES (?, ?)",
}
_DELETE = {
    "session": "DELETE FROM sessions WHERE device = ? AND client = ?",
    "message": "DELETE FROM messages WHERE number = ?",
    "retained": "DELETE FROM retained WHERE topic = ?",
}
Note = tuple[str, tuple[str | int, ...]]


class _Body(msgspec.Struct, array_like=True):
    expiry_s: int
    ended_at_us: int
    subscriptions: tuple[Subscription, ...]
    received: tuple[int, ...]


_bodies = msgspec.msgpack.Decoder(_Body)
_outgoings = msgspec.msgpack.Decoder(Outgoing)
_encoder = msgspec.msgpack.Encoder()


class SessionStore:
    """Keeps what is noted; durable when ``kept`` says so. Notes come from the endpoint's loop.

    Args:
        path: the file; made where it is missing. None: nothing is kept, and nobody waits.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._notes: dict[Note, tuple[object, ...] | None] = {}
        self._written: set[Note] = set()
        self._waiters: list[Future[None]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._last_number = 0
        self._thread: threading.Thread | None = None
        self._database: sqlite3.Connection | None = None

    # -- at the start and the end --------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the file. Raises Fault ``adapter.store_broken``."""
        if self._path is None:
            return
        try:
            self._database = _open(self._path)
        except (OSError, sqlite3.Error) as error:
            raise Fault("adapter.store_broken", adapter="mqtt", file=str(self._path), detail=str(error)) from error

    def load(self) -> tuple[list[Session], list[Outgoing]]:
        """Return the sessions and the retained messages; then begin to write. Raises Fault ``adapter.store_broken``."""
        if self._database is None:
            return [], []
        try:
            sessions, retained = self._read()
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._database.close()
            self._database = None
            raise Fault("adapter.store_broken", adapter="mqtt", file=str(self._path), detail=str(error)) from error
        self._thread = threading.Thread(target=self._run, name="mqtt-sessions", daemon=True)
        self._thread.start()
        return sessions, retained

    def _read(self) -> tuple[list[Session], list[Outgoing]]:
        sessions: dict[tuple[str, str], Session] = {}
        for session in self._sessions():
            sessions[session.key] = session
            self._written.add(("session", session.key))
        for number, device, client, body in self._rows("SELECT number, device, client, body FROM messages ORDER BY 1"):
            self._last_number = max(self._last_number, number)
            self._written.add(("message", (number,)))
            owner = sessions.get((device, client))
            if owner is None:
                self._note("message", (number,), None)
                continue
            message = _outgoings.decode(body)
            message.number = number
            if message.packet_id is None:
                owner.queue.append(message)
                owner.queued_bytes += len(message.payload)
            else:
                owner.outbound[message.packet_id] = message
        retained = []
        for topic, body in self._rows("SELECT topic, body FROM retained"):
            self._written.add(("retained", (topic,)))
            retained.append(_outgoings.decode(body))
        return list(sessions.values()), retained

    def _sessions(self) -> Iterator[Session]:
        for device, client, blob in self._rows("SELECT device, client, body FROM sessions"):
            body = _bodies.decode(blob)
            session = Session(device, client, body.expiry_s)
            session.ended_at_us = body.ended_at_us
            session.received = dict.fromkeys(body.received, True)
            for subscription in body.subscriptions:
                session.subscribe(subscription)
            yield session

    def _rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        if self._database is not None:
            yield from self._database.execute(statement)

    def close(self) -> None:
        """Write everything, and close. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._database is not None:
            self._database.close()
            self._database = None

    # -- notes, on the endpoint's loop ---------------------------------------------------------------------------

    def session(self, session: Session) -> None:
        """Note a session's present state; one that is not to be kept is taken out."""
        if self._path is None:
            return
        if session.expiry_s == 0:
            self._note("session", session.key, None)
            return
        body = _Body(
            session.expiry_s,
            session.ended_at_us,
            tuple(session.subscriptions.values()),
            tuple(number for number, durable in session.received.items() if durable),
        )
        self._note("session", session.key, (_encoder.encode(body),))

    def forget(self, session: Session) -> None:
        """Note that a session is over, and its messages."""
        self._note("session", session.key, None)
        for message in (*session.outbound.values(), *session.queue):
            self.confirmed(message)

    def message(self, session: Session, message: Outgoing) -> None:
        """Note a message to a session that is kept, or its new state."""
        if self._path is None or session.expiry_s == 0 or message.qos == 0:
            return
        if not message.number:
            self._last_number += 1
            message.number = self._last_number
        self._note("message", (message.number,), (*session.key, _encoder.encode(message)))

    def confirmed(self, message: Outgoing) -> None:
        """Note that a message need not be kept any longer."""
        if message.number:
            self._note("message", (message.number,), None)

    def retained(self, topic: str, message: Outgoing | None) -> None:
        """Note a topic's retained message; None: it has none."""
        self._note("retained", (topic,), None if message is None else (_encoder.encode(message),))

    def kept(self) -> Future[None] | None:
        """Return a future that is done when everything noted so far is durable; None when it is so now."""
        if self._thread is None:
            return None
        with self._changed:
            future: Future[None] = Future()
            self._waiters.append(future)
            self._changed.notify()
        return future

    def _note(self, table: str, key: tuple[str | int, ...], values: tuple[object, ...] | None) -> None:
        if self._path is None:
            return
        note = (table, key)
        with self._changed:
            if values is None and note not in self._written:
                self._notes.pop(note, None)
                return
            first = not self._notes
            self._notes[note] = values
            if first:
                self._changed.notify()

    # -- the writing thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._notes or self._waiters or self._closing):
                    self._changed.wait()
                if not self._waiters and not self._closing:
                    self._changed.wait(_LINGER_S)  # gather, unless somebody waits for it
                notes, self._notes = self._notes, {}
                waiters, self._waiters = self._waiters, []
                self._written.update(note for note, values in notes.items() if values is not None)
                self._written.difference_update(note for note, values in notes.items() if values is None)
                closing = self._closing
            if not self._write_until_done(notes):
                return
            for waiter in waiters:
                waiter.set_result(None)
            if closing and not self._notes:
                return

    def _write_until_done(self, notes: dict[Note, tuple[object, ...] | None]) -> bool:
        """Write; while that fails (a full disk), who waits goes on waiting. False: given up, it is closing."""
        while notes:
            try:
                self._write(notes)
            except sqlite3.Error as error:
                _log.warning("mqtt: sessions could not be written: %s", error)
                with self._changed:
                    if self._closing or self._changed.wait_for(lambda: self._closing, _RETRY_S):
                        return False
            else:
                return True
        return True

    def _write(self, notes: dict[Note, tuple[object, ...] | None]) -> None:
        if self._database is None:
            return
        with self._database:
            for (table, key), values in notes.items():
                if values is None:
                    self._database.execute(_DELETE[table], key)
                else:
                    self._database.execute(_WRITE[table], (*key, *values))


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = sqlite3.connect(path, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    layout = database.execute("PRAGMA user_version").fetchone()[0]
    if layout not in (0, _LAYOUT):
        database.close()
        raise sqlite3.DatabaseError(f"layout {layout}, made by a newer version")
    database.executescript(_TABLES)
    database.execute(f"PRAGMA user_version = {_LAYOUT}")
    return database
