"""Keeps the two processes of an installation running: starts them, starts each again when it ends, stops both."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any

import msgspec

from gulou.cli import show
from gulou.cli.door import bind
from gulou.cli.notify import ServiceManager
from gulou.cli.orders import Orders, Report
from gulou.cli.place import Place, Running
from gulou.cli.settings import ServerSettings
from gulou.kernel.errors import Conflict, Fault, Unavailable
from gulou.kernel.messages import render

_AGAIN_AFTER_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_LONGEST_AFTER_WORK_S = 0.5
_WELL_AFTER_S = 60.0
_LOOP_FROM = 4
_LOOK_S = 0.05
_START_WITHIN_S = 120.0
_STOP_WITHIN_S = 60.0
_SPEAK_WITHIN_S = 3.0
_LOOPBACKS = ("0.0.0.0", "::", "")  # noqa: S104  # only for showing


class Child:
    """A process that is started again whenever it ends, later each time that it does so soon.

    Args:
        orders: returns what it is told; asked at each start.
        keep: file descriptors that it inherits.
    """

    def __init__(self, name: str, orders: Callable[[int], Orders], keep: Sequence[int]) -> None:
        self.name = name
        self.report: Report | None = None
        self._has_served = False
        self.restarts = 0
        self._orders = orders
        self._keep = tuple(keep)
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: IO[bytes] | None = None
        self._begun_s = 0.0
        self._soon = 0
        self._due_s = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said that it is ready."""
        return self.pid is not None and self.report is not None and self.report.is_ready

    def start(self) -> None:
        """Start it."""
        ours, theirs = os.pipe()
        orders = msgspec.json.encode(self._orders(theirs)).decode()
        self.report, self._has_served = None, False
        self._close_reports()
        self._reports = os.fdopen(ours, "rb", buffering=0)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gulou.cli.part", orders],
            stdin=subprocess.PIPE,  # ends with us, and tells it so
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs, *self._keep),
        )
        os.close(theirs)
        self._begun_s = time.monotonic()
        assert self._process.stdout is not None
        threading.Thread(target=_pass_on, args=(self.name, self._process.stdout), daemon=True).start()

    def look(self) -> bool:
        """Read its report, and start it again when it is time; return whether something has changed."""
        if self._process is None:
            return False
        if self.report is None and self.read_report():
            self._tell_refusal()
            return True
        code = self._process.poll()
        if code is None:
            return False
        if not self._due_s:
            self._plan(code)
            return True
        if time.monotonic() < self._due_s:
            return False
        self._due_s = 0.0
        self.restarts += 1
        self.start()
        return True

    def ended(self) -> int | None:
        """Return how it ended, or None while it runs."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        if self.pid is not None and self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; end it by force after so long."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            show.errors.print(f"{self.name} did not end within {seconds:.0f} s and is killed.")
            self.kill()

    def kill(self) -> None:
        """End it by force."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Close what was kept open for it."""
        self._close_reports()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _tell_refusal(self) -> None:
        if self.report is not None and not self.report.is_ready:
            why = render(self.report.code, self.report.params, show.language())
            show.errors.print(f"{self.name} could not start: {why}", markup=False, soft_wrap=True)

    def _plan(self, code: int) -> None:
        lived_s = time.monotonic() - self._begun_s
        self._soon = 0 if lived_s >= _WELL_AFTER_S else self._soon + 1
        wait_s = _AGAIN_AFTER_S[min(max(self._soon - 1, 0), len(_AGAIN_AFTER_S) - 1)]
        if self._has_served or (self.report is not None and self.report.is_ready):
            # it can do its work, and what ended it may be past
            wait_s = min(wait_s, _LONGEST_AFTER_WORK_S)
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        line = f"{self.name} has ended {how} after {lived_s:.0f} s; started again"
        line += f" in {wait_s:g} s." if wait_s else " at once."
        if self._soon >= _LOOP_FROM:
            line += f" It has ended {self._soon} times in a row: the lines above say why, gulou doctor may help."
        show.errors.print(line, soft_wrap=True)
        self._due_s = time.monotonic() + wait_s or 1e-9
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def read_report(self) -> bool:
        """Take its report if there is one now."""
        if self._reports is None or not select.select([self._reports], [], [], 0)[0]:
            return False
        line = self._reports.readline()
        if line:
            report = msgspec.json.decode(line, type=Report)
            if report.is_serving:
                self._has_served = True
                return False
            self.report = report
        self._close_reports()
        return bool(line)

    def _close_reports(self) -> None:
        if self._reports is not None:
            self._reports.close()
            self._reports = None


class Supervisor:
    """Holds a data directory and keeps engine and web running on it; a context manager.

    It binds the page's and the ingest's sockets itself and hands them down: connections wait in them while a part is
    started again. It loads nothing of the platform, so that nothing of the platform can take it down.

    Args:
        mqtt_port: of MQTT devices; None: as the settings say.
    """

    def __init__(
        self, place: Place, settings: ServerSettings, mqtt_port: int | None = None, *, verbose: bool = False
    ) -> None:
        self.place = place
        self.running: Running
        self.first_password: str | None = None
        self._settings = settings
        self._mqtt_port = mqtt_port
        self._verbose = verbose
        self._manager = ServiceManager()
        self._doors: list[socket.socket] = []
        self._children: list[Child] = []
        self._was_ready = True

    def __enter__(self) -> Supervisor:
        self.place.hold()
        (self.place.run / "checked").unlink(missing_ok=True)
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def look(self) -> None:
        """Look after both, once; called every ``LOOK_S`` or so."""
        changed = [child.look() for child in self._children]
        self._manager.alive()
        if not any(changed):
            return
        self._announce()
        away = [child.name for child in self._children if not child.is_ready]
        if not away and not self._was_ready:
            show.errors.print("engine and web are both running again.")
        self._was_ready = not away
        self._manager.status("running" if not away else f"{' and '.join(away)} being started again")

    def watch(self, stopped: threading.Event, also: Callable[[], object] = lambda: None) -> None:
        """Look after both until told to stop."""
        while not stopped.wait(_LOOK_S):
            self.look()
            also()

    def _open(self) -> None:
        host = self._settings.host
        page = self._bind(host, self._settings.port, "--port")
        ingest = self._bind_ingest(host, page.getsockname()[1])
        given = self._settings.model_dump(mode="json")
        engine_keeps, web_keeps = (ingest.fileno(), self.place.lock_number()), (page.fileno(), self.place.lock_number())

        def engine(report: int) -> Orders:
            return self._orders("engine", given, ingest, report)

        def web(report: int) -> Orders:
            return self._orders("web", given, page, report)

        self._engine, self._web = Child("engine", engine, engine_keeps), Child("web", web, web_keeps)
        self._children = [self._engine, self._web]
        for child in self._children:
            child.start()
        self._await_both()
        assert self._engine.report is not None and self._web.report is not None
        self._mqtt_port = self._engine.report.mqtt_port or self._mqtt_port  # the same one after each start
        self.first_password = self._web.report.password
        shown = "127.0.0.1" if host in _LOOPBACKS else host
        scheme = "https" if self._settings.tls_certificate else "http"
        self._addresses = {
            "url": f"{scheme}://{shown}:{page.getsockname()[1]}",
            "ingest_url": f"http://{shown}:{ingest.getsockname()[1]}",
        }
        self._announce()
        self._manager.ready("running")

    def _orders(self, part: Any, given: dict[str, Any], door: socket.socket, report: int) -> Orders:
        return Orders(
            part=part,
            data=str(self.place.root),
            settings=given,
            doors=(door.fileno(),),
            report=report,
            mqtt_port=self._mqtt_port,
            verbose=self._verbose,
        )

    def _bind(self, host: str, port: int, option: str) -> socket.socket:
        door = bind(host, port, option)
        self._doors.append(door)
        return door

    def _bind_ingest(self, host: str, page_port: int) -> socket.socket:
        chosen = self._settings.ingest_port
        if chosen is not None:
            return self._bind(host, chosen, "[server] ingest_port")
        try:
            if self._settings.port and page_port < 65535:
                return self._bind(host, page_port + 1, "[server] ingest_port")
        except Conflict:
            pass
        return self._bind(host, 0, "[server] ingest_port")

    def _await_both(self) -> None:
        """Wait for the first start of both; a part that cannot start now never does, so its error is ours."""
        deadline, silent_s = time.monotonic() + _START_WITHIN_S, 0.0
        while not all(child.is_ready for child in self._children):
            for child in self._children:
                code = child.ended()
                if child.report is None:
                    child.read_report()
                if child.report is not None and not child.report.is_ready:
                    raise child.report.error()
                if code is not None and child.report is None:
                    silent_s = silent_s or time.monotonic() + _SPEAK_WITHIN_S
                    if time.monotonic() < silent_s:
                        continue  # the other part may say why
                    raise Fault("server.part_ended", part=child.name, exit_code=code)
            if time.monotonic() > deadline:
                raise Unavailable("server.not_started", seconds=_START_WITHIN_S)
            time.sleep(0.01)

    def _announce(self) -> None:
        """Let this user's commands find what runs."""
        token = self._web.report.token if self._web.report is not None and self._web.report.is_ready else None
        if token is None and not hasattr(self, "running"):
            return
        self.running = Running(
            pid=os.getpid(),
            token=token or self.running.token,
            mqtt_port=self._mqtt_port,
            engine_pid=self._engine.pid,
            web_pid=self._web.pid,
            **self._addresses,
        )
        self.place.announce(self.running)

    def _close(self) -> None:
        """Stop the engine first, so that the web process sees all that it has written; then that one."""
        self._manager.stopping()
        for child in self._children:
            child.terminate()
            child.wait(_STOP_WITHIN_S)
            child.close()
        for door in self._doors:
            door.close()
        self.place.token.unlink(missing_ok=True)
        self.place.release()


def order_once(orders: Callable[[int], Orders], name: str) -> Report:
    """Let a process do one thing, and return its report; raises what it reports."""
    child = Child(name, orders, ())
    child.start()
    child.wait(_START_WITHIN_S)
    child.read_report()
    child.close()
    if child.report is None:
        raise Fault("server.part_ended", part=name, exit_code=child.ended())
    if not child.report.is_ready:
        raise child.report.error()
    return child.report


def _pass_on(name: str, lines: IO[bytes]) -> None:
    """Write a part's lines to our standard error, each with its name before it."""
    prefix = f"{name}: ".encode()
    for line in lines:
        sys.stderr.buffer.write(prefix + line.rstrip(b"\n") + b"\n")
        sys.stderr.buffer.flush()
