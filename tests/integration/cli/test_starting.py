"""What keeps the server from starting: one clear line, the mend, an exit code, and nothing harmed."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import closing

import httpx
import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def refused(gulou, tmp_path):
    """Start a server that cannot; return its one line of complaint."""

    def start(*arguments: object, code: int = 1, data=None) -> str:
        asked = ("run", "--port", "0", "--mqtt-port", "0", "--data", data or tmp_path / "data", *arguments)
        answer = gulou(*asked, check=False, timeout=30)
        assert (answer.returncode, answer.stdout) == (code, "")
        (line,) = [line for line in answer.stderr.splitlines() if line.strip()]
        assert line.startswith("gulou: ")
        return line

    return start


@pytest.fixture
def taken():
    """A port that another program has."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield door.getsockname()[1]


def test_the_page_s_port_in_use(refused, taken: int) -> None:
    line = refused("--port", taken)

    assert f"{taken}" in line
    assert "--port" in line
    assert "(server.port_in_use)" in line


def test_the_devices_port_in_use(refused, taken: int, tmp_path) -> None:
    line = refused("--mqtt-port", taken, code=3)

    assert f"{taken}" in line
    assert not (tmp_path / "data" / "server.json").exists()


def test_a_data_directory_that_is_a_file(refused, tmp_path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert "(data.not_a_directory)" in refused(data=tmp_path / "file")
    assert "(data.not_a_directory)" in refused(data=tmp_path / "file" / "below")


def test_a_data_directory_that_cannot_be_made(refused) -> None:
    assert "(data.not_writable)" in refused(data="/proc/gulou")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_without_the_right_to_write(refused, tmp_path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)

    assert "(data.not_writable)" in refused()


def test_a_missing_data_directory_is_made(running_gulou, tmp_path) -> None:
    running = running_gulou(tmp_path / "a" / "b" / "data").start()

    assert running.stop() == 0
    assert (tmp_path / "a" / "b" / "data" / "records.db").exists()


def test_a_data_directory_may_lie_deep(running_gulou, tmp_path) -> None:
    data = tmp_path / ("deep" * 30) / ("deeper" * 20)
    assert len(str(data)) > 200
    running = running_gulou(data).start()
    try:
        with closing(running.admin()) as admin:
            token = json.loads((data / "server.json").read_bytes())["token"]
            reading = {
                "entity": "urn:ngsi-ld:WaterLevelObserved:g",
                "type": "WaterLevelObserved",
                "property": "waterLevel",
                "value": 1.0,
                "observedAt": "2026-01-01T00:00:00Z",
            }
            sent = httpx.post(  # to the page's address, which passes it on to the engine
                f"{running.url}/ingest/v1/readings",
                json=[reading],
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert sent.json()["stored"] == 1
            assert admin.get("/system").json()["adapters"]  # asked of the engine over the bridge
    finally:
        assert running.stop() == 0


def test_a_data_directory_in_use_names_the_process(refused, server) -> None:
    line = refused(data=server.data)

    assert str(server.said["pid"]) in line
    assert "(data.in_use)" in line


def test_a_layout_of_a_newer_gulou(refused, tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "layout.json").write_text(json.dumps({"layout": 99}), encoding="ascii")

    assert "(data.newer)" in refused()


def test_records_of_a_newer_gulou(refused, running_gulou, tmp_path) -> None:
    running_gulou(tmp_path / "data").start().stop()
    with closing(sqlite3.connect(tmp_path / "data" / "records.db")) as records:
        records.execute("UPDATE alembic_version SET version_num = 'm9999'")
        records.commit()

    line = refused()

    assert "m9999" in line
    assert "(records.newer)" in line


def test_damaged_records(refused, running_gulou, tmp_path) -> None:
    running_gulou(tmp_path / "data").start().stop()
    records = tmp_path / "data" / "records.db"
    records.write_bytes(b"no database at all" * 100)

    assert "(data.damaged)" in refused()


SETTINGS = [
    ("[server]\nprot = 1\n", "settings.unknown_key", 'Did you mean "port"'),
    ("[sevrer]\nport = 1\n", "settings.unknown_section", "[server]"),
    ("[adapter-mqt]\nport = 1\n", "settings.unknown_section", "[adapter-mqtt]"),
    ("[adapter-mqtt]\nprot = 1\n", "settings.unknown_key", 'Did you mean "port"'),
    ("[server]\nport = 99999\n", "settings.bad_value", "port"),
    ("[server\n", "settings.unreadable", "line 1"),
]


@pytest.mark.parametrize(
    ("text", "code", "shown"), SETTINGS, ids=[f"{code}-{n}" for n, (_, code, _) in enumerate(SETTINGS)]
)
def test_a_mistake_in_the_settings(refused, tmp_path, text: str, code: str, shown: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "city.toml").write_text(text, encoding="utf-8")

    line = refused()

    assert "city.toml" in line
    assert f"({code})" in line
    assert shown in line


def test_a_mistake_in_the_environment(refused, monkeypatch) -> None:
    monkeypatch.setenv("GULOU_SERVER_PROT", "1")

    line = refused()

    assert "GULOU_SERVER_PROT" in line
    assert "(settings.unknown_key)" in line


def test_a_server_stops_cleanly_when_told(running_gulou, tmp_path) -> None:
    running = running_gulou(tmp_path / "data").start()

    assert running.stop() == 0
    assert not (tmp_path / "data" / "server.json").exists()


def test_the_password_is_printed_at_the_first_start_only(running_gulou, tmp_path) -> None:
    first = running_gulou(tmp_path / "data").start()
    first.stop()
    again = running_gulou(tmp_path / "data").start()
    again.stop()

    assert {"user", "password"} <= set(first.said)
    assert not {"user", "password"} & set(again.said)
