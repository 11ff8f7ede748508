"""The data directory: where it is, who holds it, and how a command finds the server that runs on it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from gulou.connectivity.bridge import socket_address
from gulou.kernel.errors import Conflict, Fault, Invalid

LAYOUT = 1
_DEFAULT = "gulou-data"
_ORPHANS_END_WITHIN_S = 45.0
_LARGE_BYTES = 64 << 20
_LATER_S = 30.0
_log = logging.getLogger(__name__)


class Running(msgspec.Struct, frozen=True):
    """A server that runs on a data directory; written with mode 0600, for this user's commands only.

    Args:
        pid: of the supervisor, or of the one process.
        url: ``http://127.0.0.1:8765``.
        token: API token of the local command line, valid while that server runs.
        ingest_url: where the engine takes HTTP ingest itself.
        engine_pid, web_pid: None while that one is being started, or where one process is all.
    """

    pid: int
    url: str
    token: str
    mqtt_port: int | None = None
    ingest_url: str | None = None
    engine_pid: int | None = None
    web_pid: int | None = None


class Place:
    """A data directory and its parts.

    Args:
        root: the directory; made when it is first held.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records.db"
        self.context = root / "context.db"
        self.log = root / "log"
        self.history = root / "history"
        self.maps = root / "maps"
        self.packs = root / "packs"
        self.adapters = root / "adapters"
        self.settings = root / "city.toml"
        self.run = root / "run"
        self.bridge = self.run / "engine.sock"
        self.ingest = self.run / "ingest.sock"
        self.token = self.run / "token"
        self._lock: IO[str] | None = None

    @classmethod
    def chosen(cls, given: Path | None) -> Place:
        """Return what ``--data`` says, else ``GULOU_DATA``, else ``gulou-data`` here."""
        return cls(Path(given or os.environ.get("GULOU_DATA") or _DEFAULT).expanduser().absolute())

    def hold(self) -> None:
        """Make the directory where it is missing and take it for this process.

        Raises:
            Conflict: ``data.in_use`` when another process has it.
            Invalid: ``data.not_a_directory``, ``data.not_writable``, ``data.newer``.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # hashes, tokens and readings: nobody else's
            self.run.mkdir(mode=0o700, exist_ok=True)
            for part in (self.log, self.history, self.maps, self.packs, self.adapters):
                part.mkdir(exist_ok=True)
            lock = (self.root / "lock").open("a+", encoding="ascii")
        except (FileExistsError, NotADirectoryError):
            raise Invalid("data.not_a_directory", path=str(self.root)) from None
        except OSError as error:
            raise Invalid("data.not_writable", path=str(self.root), detail=error.strerror or "") from None
        if not self._take(lock):
            lock.close()
            running = self.running()
            raise Conflict("data.in_use", path=str(self.root), pid=running.pid if running else "?") from None
        self._lock = lock
        self._check_layout()

    def _take(self, lock: IO[str]) -> bool:
        """Lock; where who holds it is only what a killed supervisor has left, wait until that has ended."""
        deadline = time.monotonic() + _ORPHANS_END_WITHIN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held = self._announced()
                if held is None or _is_alive(held.pid) or time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            else:
                return True

    def lock_number(self) -> int:
        """Return the lock's file descriptor: who inherits it holds the directory too."""
        if self._lock is None:
            raise Fault("data.not_writable", path=str(self.root), detail="not held")
        return self._lock.fileno()

    def release(self) -> None:
        """Give it back."""
        self._running_file.unlink(missing_ok=True)
        (self.run / "checked").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def running(self) -> Running | None:
        """Return the server that runs on this directory, or None."""
        held = self._announced()
        return held if held is not None and _is_alive(held.pid) and self._is_locked() else None

    def _announced(self) -> Running | None:
        try:
            return msgspec.json.decode(self._running_file.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    def announce(self, running: Running) -> None:
        """Let this user's commands find the server."""
        fresh = self._running_file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(running))
        fresh.replace(self._running_file)

    @property
    def _running_file(self) -> Path:
        return self.root / "server.json"

    def _is_locked(self) -> bool:
        try:
            with (self.root / "lock").open("a+", encoding="ascii") as probe:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _check_layout(self) -> None:
        marker = self.root / "layout.json"
        if not marker.exists():
            marker.write_text(json.dumps({"layout": LAYOUT}), encoding="ascii")
            return
        found: Any = json.loads(marker.read_text(encoding="ascii") or "{}").get("layout", 0)
        if found > LAYOUT:
            raise Conflict("data.newer", path=str(self.root), found=found, known=LAYOUT)

    def listen_locally(self, path: Path) -> socket.socket:
        """Open a socket file for processes of this user; one that a killed process left is replaced.

        Raises:
            Invalid: ``data.path_too_long``: not on Linux.
        """
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with socket_address(path) as address:
                door.bind(address)
        except OSError as error:
            door.close()
            raise Invalid("data.path_too_long", path=str(path), detail=str(error)) from None
        finally:
            os.umask(before)
        door.listen(1024)
        door.setblocking(False)
        return door

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Keep this installation's other process from making or changing tables meanwhile."""
        with (self.root / "prepare.lock").open("a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def check_records(self, supervisor: int | None = None) -> None:
        """Raise Fault ``data.damaged`` when the record store is not sound.

        A large one is only opened before a start, and looked through while the platform serves: that takes 10 s a GB.
        What is found then is logged as an error.

        Args:
            supervisor: process id of who started this process; looked at once for all that it starts.
        """
        checked = self.run / "checked"
        if not self.records.exists():
            return
        if supervisor is not None:
            if checked.exists() and checked.read_text(encoding="ascii") == str(supervisor):
                return
            is_large = self.records.stat().st_size > _LARGE_BYTES
            self._check_records("schema_version" if is_large else "quick_check(1)")
            checked.write_text(str(supervisor), encoding="ascii")
            if is_large:
                threading.Thread(target=self._check_later, name="records-check", daemon=True).start()
            return
        self._check_records()

    def _check_later(self) -> None:
        time.sleep(_LATER_S)
        try:
            self._check_records()
        except Fault as fault:
            _log.error("%s", fault)

    def _check_records(self, how: str = "quick_check(1)") -> None:
        try:
            with sqlite3.connect(f"file:{self.records}?mode=ro", uri=True) as connection:
                (answer,) = connection.execute(f"PRAGMA {how}").fetchone()
        except sqlite3.DatabaseError as error:
            answer = str(error)
        if answer != "ok" and not isinstance(answer, int):
            raise Fault("data.damaged", path=str(self.records), detail=answer)


def _is_alive(pid: int) -> bool:
    """Say whether a process is there; one that has ended and only waits to be noticed is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"
