"""The data directory: where it is, who holds it, and how a command finds the server that runs on it."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from gulou.kernel.errors import Conflict, Fault, Invalid

LAYOUT = 1
_DEFAULT = "gulou-data"


class Running(msgspec.Struct, frozen=True):
    """A server that runs on a data directory; written with mode 0600, for this user's commands only.

    Args:
        url: ``http://127.0.0.1:8765``.
        token: API token of the local command line, valid while that server runs.
    """

    pid: int
    url: str
    token: str
    mqtt_port: int | None = None


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
            for part in (self.log, self.history, self.maps, self.packs, self.adapters):
                part.mkdir(exist_ok=True)
            lock = (self.root / "lock").open("a+", encoding="ascii")
        except (FileExistsError, NotADirectoryError):
            raise Invalid("data.not_a_directory", path=str(self.root)) from None
        except OSError as error:
            raise Invalid("data.not_writable", path=str(self.root), detail=error.strerror or "") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            running = self.running()
            raise Conflict("data.in_use", path=str(self.root), pid=running.pid if running else "?") from None
        self._lock = lock
        self._check_layout()

    def release(self) -> None:
        """Give it back."""
        self._running_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def running(self) -> Running | None:
        """Return the server that runs on this directory, or None."""
        try:
            held = msgspec.json.decode(self._running_file.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None
        return held if self._is_locked() else None

    def announce(self, running: Running) -> None:
        """Let this user's commands find the server."""
        path = self._running_file
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(running))

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

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Keep this installation's other process from making or changing tables meanwhile."""
        with (self.root / "prepare.lock").open("a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def check_records(self) -> None:
        """Raise Fault ``data.damaged`` when the record store is not sound; takes a moment on a large one."""
        if not self.records.exists():
            return
        try:
            with sqlite3.connect(f"file:{self.records}?mode=ro", uri=True) as connection:
                (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            answer = str(error)
        if answer != "ok":
            raise Fault("data.damaged", path=str(self.records), detail=answer)
