"""What all tests share: where real city data lies, and how to start a real server on free ports."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[1]
GULOU = [sys.executable, "-m", "gulou"]


@pytest.fixture(scope="session")
def city_data() -> Path:
    """The folder of real city data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("GULOU_CITY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real city data is not beside the project (GULOU_CITY_DATA)")
    return folder


def run_gulou(*arguments: str | Path, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*GULOU, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=check,
        timeout=timeout,
        env={**os.environ, "GULOU_LANG": "en"},
    )


@pytest.fixture(scope="session")
def gulou() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, as a function."""
    return run_gulou


def json_lines(text: str) -> list[dict]:
    """Read what ``--json`` prints; anything else on standard output fails the test."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="session")
def lines() -> Callable[[str], list[dict]]:
    return json_lines


@dataclass
class RunningGulou:
    """A server process under test.

    Attributes:
        port: of page and API; 0: any free one.
        said: what it printed at its start: url, mqtt_port, pid, data, and at the first start user and password.
    """

    data: Path
    command: tuple[str, ...] = ("run",)
    port: int = 0
    said: dict = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 90) -> RunningGulou:
        ports = ["--port", str(self.port), "--mqtt-port", "0"]
        arguments = [*GULOU, *self.command, *ports, "--data", str(self.data), "--json"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "GULOU_LANG": "en"})
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if ready else b""
        assert line, f"the server said nothing within {timeout_s} s (ended: {self.process.poll()})"
        self.said = {**self.said, **json.loads(line)}
        return self

    @property
    def url(self) -> str:
        return self.said["url"]

    @property
    def mqtt_port(self) -> int:
        return self.said["mqtt_port"]

    def kill(self) -> None:
        """``kill -9`` of every process: no chance to tidy up."""
        assert self.process is not None
        pids = [self.process.pid, *(pid for name in ("engine", "web") if (pid := self.pid_of(name)) is not None)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self._close()

    def pid_of(self, part: str) -> int | None:
        """The process of a part, ``engine`` or ``web``, as it is announced now; None while it is being started."""
        return json.loads((self.data / "server.json").read_bytes()).get(f"{part}_pid")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._close()
        return code

    def _close(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.stdout.close()

    def admin(self) -> httpx.Client:
        """A client signed in as the first admin, with the printed password."""
        client = httpx.Client(base_url=f"{self.url}/api/v1", trust_env=False, timeout=30)
        answer = client.post("/session", json={"name": "admin", "password": self.said["password"]})
        answer.raise_for_status()
        client.headers["X-Gulou-Csrf"] = answer.json()["csrf_token"]
        return client


@pytest.fixture(scope="session")
def running_gulou() -> type[RunningGulou]:
    """The class, for tests that start servers of their own."""
    return RunningGulou


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningGulou]:
    """A server on an empty data directory."""
    running = RunningGulou(tmp_path / "data").start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """Poll until something is true; fails with what was last seen."""

    def wait(look: Callable[[], object], timeout_s: float = 20, message: str = "") -> object:
        deadline = time.monotonic() + timeout_s
        seen: object = None
        while time.monotonic() < deadline:
            seen = look()
            if seen:
                return seen
            time.sleep(0.05)
        pytest.fail(f"not within {timeout_s} s: {message} (last: {seen!r})")

    return wait
