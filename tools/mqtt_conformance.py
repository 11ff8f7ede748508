"""Run Eclipse Paho's interoperability tests (paho.mqtt.testing) against the device endpoint, and count.

The suite is not part of this project: give a checkout of it. Nothing in it is changed. Its clients sign in by nobody's
name; this runner makes each of them say a device's name and secret, starts a server of its own on free ports of the
loopback, and registers those devices with the suite's topics granted. mosquitto, where it is installed, runs the same.

    python tools/mqtt_conformance.py CHECKOUT [--only gulou] [--json result.json]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUITES = {"3.1.1": "client_test", "5": "client_test5"}
TOPICS = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
WILD_TOPICS = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
GRANTED = "TopicA/#,Topic/#,/TopicA,client_test5/#"
SECRET = "a secret for tests only, long enough"  # noqa: S105
DEVICES = {"myclientid": "paho-a", "myclientid2": "paho-b"}
OTHER = "paho-c"
SETTINGS = "[adapter-mqtt]\nkeep_alive_most_s = 60\n"
_WITHIN_S = 90.0
_TEST_WITHIN_S = 60


def main() -> int:
    """Run what was asked for; returns 0 when every suite ran through, whatever its tests said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of paho.mqtt.testing")
    parser.add_argument("--only", choices=["gulou", "mosquitto"])
    parser.add_argument("--version", choices=list(SUITES))
    parser.add_argument("--test", help="run this test only")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--inside", metavar="HOST:PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        host, _, port = arguments.inside.rpartition(":")
        print(json.dumps(run_suite(arguments.checkout, arguments.version, host, int(port), arguments.test)))
        return 0
    results: dict[str, dict[str, dict[str, str]]] = {}
    for name, start in (("gulou", gulou), ("mosquitto", mosquitto)):
        if arguments.only in (None, name):
            for version in [arguments.version] if arguments.version else SUITES:
                with start() as port:
                    if port is not None:
                        results.setdefault(name, {})[version] = in_process(arguments, version, port)
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    return 0


def in_process(arguments: argparse.Namespace, version: str, port: int) -> dict[str, str]:
    """Run one suite in a process of its own: it leaves threads behind."""
    command = [sys.executable, __file__, str(arguments.checkout), "--version", version, "--inside", f"127.0.0.1:{port}"]
    if arguments.test:
        command += ["--test", arguments.test]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=900, check=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_suite(checkout: Path, version: str, host: str, port: int, only: str | None) -> dict[str, str]:
    """Run one suite here; returns "passed" or why not, by test."""
    sys.path.insert(0, str(checkout / "interoperability"))
    client = importlib.import_module(f"mqtt.clients.{'V311' if version == '3.1.1' else 'V5'}.main").Client
    sign_in(client)
    suite: Any = importlib.import_module(SUITES[version])
    # What its main function would set from the command line.
    suite.host, suite.port = host, port
    suite.topics, suite.wildtopics, suite.nosubscribe_topics = TOPICS, WILD_TOPICS, ("test/nosubscribe",)
    suite.topic_prefix = "client_test5/"
    tests = unittest.TestLoader().loadTestsFromTestCase(suite.Test)
    if only:
        tests = unittest.TestSuite(one for one in tests if one.id().endswith("." + only))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        outcome = unittest.TextTestRunner(stream=said, verbosity=2, resultclass=Outcome).run(tests)
    sys.stderr.write(said.getvalue() if only else "")
    return outcome.found


class Outcome(unittest.TextTestResult):
    """Keeps what became of each test."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.found: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Give each test so long: some wait without end for what does not come."""
        super().startTest(test)
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(_TEST_WITHIN_S)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """See ``unittest``."""
        signal.alarm(0)
        super().stopTest(test)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802  # the name is unittest's
        """See ``unittest``."""
        super().addSuccess(test)
        self.found[test.id().rpartition(".")[2]] = "passed"

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        """See ``unittest``."""
        super().addFailure(test, err)
        self.found[test.id().rpartition(".")[2]] = f"failed: {err[1]}"[:200]

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        """See ``unittest``."""
        super().addError(test, err)
        self.found[test.id().rpartition(".")[2]] = f"error: {err[1]!r}"[:200]


def too_long(*_: object) -> None:
    """End a test that goes on and on."""
    raise TooLong(f"not over after {_TEST_WITHIN_S} s")


class TooLong(Exception):
    """Not a TimeoutError: the suite takes that for silence on a socket, and goes on."""


def sign_in(client: Any) -> None:
    """Let the suite's client say a name and a secret, chosen by its client id."""
    plain = client.connect

    def connect(self: Any, *arguments: Any, **named: Any) -> Any:
        known = self.clientid.decode() if isinstance(self.clientid, bytes) else self.clientid
        named.setdefault("username", DEVICES.get(known, OTHER))
        named.setdefault("password", SECRET.encode())
        return plain(self, *arguments, **named)

    client.connect = connect


@contextlib.contextmanager
def gulou() -> Iterator[int | None]:
    """Run a server on a new data directory; gives its MQTT port."""
    program = Path(sys.executable).parent / "gulou"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        (data / "city.toml").write_text(SETTINGS)
        devices = Path(folder) / "devices.ndjson"
        labels = {"mqtt.subscribe": GRANTED, "mqtt.publish": GRANTED}
        named = (*DEVICES.values(), OTHER)
        lines = [{"id": one, "adapter": "mqtt", "labels": labels, "secret": SECRET} for one in named]
        devices.write_text("".join(json.dumps(line) + "\n" for line in lines))
        environment = os.environ | {"GULOU_DATA": str(data)}
        imported = [program, "devices", "import", devices]
        subprocess.run(imported, env=environment, check=True, stdout=subprocess.DEVNULL)
        command = [program, "run", "--port", "0", "--mqtt-port", "0", "--json"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            yield int(json.loads(server.stdout.readline())["mqtt_port"])
        finally:
            server.terminate()
            server.wait(_WITHIN_S)


@contextlib.contextmanager
def mosquitto() -> Iterator[int | None]:
    """Run mosquitto as its makers do for these tests; gives its port, or None where it is not installed."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        server = subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL)
        try:
            await_port(port)
            yield port
        finally:
            server.terminate()
            server.wait(_WITHIN_S)


def await_port(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


def show(results: dict[str, dict[str, dict[str, str]]]) -> None:
    """Print a table of each version."""
    for version in SUITES:
        columns = {name: found[version] for name, found in results.items() if version in found}
        for name, found in columns.items():
            print(f"\nMQTT {version}, {name}: {sum(one == 'passed' for one in found.values())} of {len(found)}")
        for test in sorted({test for found in columns.values() for test in found}):
            print(f"  {test:34}", *(f"{name}: {found.get(test, '-')[:60]:<62}" for name, found in columns.items()))


if __name__ == "__main__":
    sys.exit(main())
