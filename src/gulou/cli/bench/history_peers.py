"""The same rows and questions in PostgreSQL and InfluxDB, started here as processes of their own on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gulou.cli.bench.report import say
from gulou.connectivity.intake import Columns
from gulou.kernel.clock import SECOND_US
from gulou.kernel.errors import Fault

_DAY_US = 86_400 * SECOND_US
_HOUR_US = 3_600 * SECOND_US
_START_S = 60.0


class Peer(msgspec.Struct, frozen=True):
    """What is loaded and asked: ``make(step)`` yields the rows of one step of all ``series``."""

    series: int
    steps: int
    make: Callable[[int], Iterator[Columns]]
    first_us: int
    step_us: int
    repeats: int

    @property
    def rows(self) -> int:
        return self.series * self.steps

    @property
    def day_us(self) -> tuple[int, int]:
        """One day in the middle."""
        return self.first_us + 12 * _DAY_US, self.first_us + 13 * _DAY_US

    def picks(self) -> list[int]:
        """Series to ask for."""
        found: list[int] = np.random.default_rng(5).integers(0, self.series, self.repeats).tolist()
        return found


def measure_peers(folder: Path, peer: Peer) -> tuple[dict[str, Any], list[str]]:
    """Return figures by name, and what a reader must know."""
    figures: dict[str, Any] = {}
    notes: list[str] = []
    for name, found, measure in (
        ("postgresql", _postgres_folder(), _postgres),
        ("influxdb", shutil.which("influxd"), _influx),
    ):
        if found is None:
            notes.append(f"{name}: not installed here")
            continue
        where = folder / name
        where.mkdir()
        figures[name] = measure(Path(found), where, peer)
        say(f"{name}: {figures[name]}")
        shutil.rmtree(where, ignore_errors=True)
    notes.append(
        "postgresql: COPY in one transaction, (series int, at bigint, value float8), then an index (series, at) and a "
        "BRIN index (at), analysed; shared_buffers 512 MB. influxdb: HTTP line protocol, limits lifted."
    )
    return figures, notes


def _postgres_folder() -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(found[-1].parent) if found else None


def _postgres(binaries: Path, folder: Path, peer: Peer) -> dict[str, Any]:
    data, sockets = folder / "data", folder / "s"
    sockets.mkdir()
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = {"user": "postgres", "group": "postgres"}
        for path in (folder, sockets):
            shutil.chown(path, "postgres", "postgres")
        for parent in (folder.parent,):
            parent.chmod(0o755)
    run = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
    initdb: list[Any] = [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres"]
    subprocess.run(initdb, check=True, **run)
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-k", sockets, "-c", "listen_addresses=", "-c", "shared_buffers=512MB",
         "-c", "max_wal_size=8GB", "-c", "maintenance_work_mem=512MB"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **as_user,
    )  # fmt: skip
    sql: list[Any] = [binaries / "psql", "-h", sockets, "-U", "postgres", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    try:
        _until(lambda: subprocess.run([*sql, "-c", "SELECT 1"], check=False, **run).returncode == 0)
        tables = (
            "CREATE TABLE series (id int PRIMARY KEY); "
            f"INSERT INTO series SELECT generate_series(0, {peer.series - 1}); "
            "CREATE TABLE readings (series int NOT NULL, at bigint NOT NULL, value float8 NOT NULL)"
        )
        subprocess.run([*sql, "-c", tables], check=True, **run)
        began = time.perf_counter()
        _copy([*sql, "-c", r"\copy readings FROM pstdin WITH (FORMAT binary)"], peer, as_user)
        copied = time.perf_counter() - began
        indexes = "CREATE INDEX ON readings (series, at); CREATE INDEX ON readings USING brin (at)"
        subprocess.run([*sql, "-c", indexes], check=True, **run)
        subprocess.run([*sql, "-c", "VACUUM ANALYZE"], check=True, **run)
        ready = time.perf_counter() - began
        first, last = peer.day_us
        one_series = "SELECT at, value FROM readings WHERE series = {} ORDER BY at"
        month = [one_series.format(one) for one in peer.picks()]
        newest = "SELECT at, value FROM readings r WHERE r.series = s.id ORDER BY at DESC LIMIT 1"
        latest = [f"SELECT s.id, l.at, l.value FROM series s CROSS JOIN LATERAL ({newest}) l"]
        day = [f"SELECT at / {_HOUR_US}, avg(value) FROM readings WHERE at >= {first} AND at < {last} GROUP BY 1"]
        size = sum(file.stat().st_size for file in (data / "base").rglob("*") if file.is_file())
        return {
            "load_rows_per_s": peer.rows / copied,
            "load_rows_per_s_indexed": peer.rows / ready,
            "bytes_per_row": size / peer.rows,
            "query_ms": {
                "month_of_one_series": _psql_ms(sql, month, as_user),
                "latest_of_all": _psql_ms(sql, latest * peer.repeats, as_user),
                "city_day_hourly": _psql_ms(sql, day * peer.repeats, as_user),
            },
        }
    finally:
        server.terminate()
        server.wait(_START_S)


def _copy(command: list[Any], peer: Peer, as_user: dict[str, Any]) -> None:
    """Send all rows in PostgreSQL's binary COPY format."""
    row = np.dtype([("fields", ">i2"), ("l1", ">i4"), ("series", ">i4"), ("l2", ">i4"), ("at", ">i8"), ("l3", ">i4"),
                    ("value", ">f8")])  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **as_user
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for step in range(peer.steps):
            for columns in peer.make(step):
                made = np.empty(len(columns), row)
                made["fields"], made["l1"], made["l2"], made["l3"] = 3, 4, 8, 8
                made["series"], made["at"], made["value"] = columns.series, columns.observed_at_us, columns.value
                child.stdin.write(made.tobytes())
        child.stdin.write(b"\xff\xff")
        child.stdin.close()
        if child.wait():
            raise Fault("bench.server_failed", detail="psql COPY")


def _psql_ms(command: list[Any], statements: list[str], as_user: dict[str, Any]) -> float:
    """Return the median of what psql says that each statement took, its answer fetched."""
    script = "\\o /dev/null\n\\timing on\n" + "".join(f"{one};\n" for one in statements)
    found = subprocess.run(
        [*command, "-f", "-"], input=script, capture_output=True, text=True, check=True, cwd="/", **as_user
    )
    times = [float(one) for one in re.findall(r"Time: ([0-9.]+) ms", found.stdout)]
    return statistics.median(times)


def _influx(binary: Path, folder: Path, peer: Peer) -> dict[str, Any]:
    http, rpc = _free_port(), _free_port()
    config = folder / "influxdb.conf"
    config.write_text(
        f"""reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
max-series-per-database = 0
max-values-per-tag = 0
query-log-enabled = false
[coordinator]
write-timeout = "60s"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
max-body-size = 0
log-enabled = false
"""
    )
    server = subprocess.Popen([binary, "-config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _answers(f"http://127.0.0.1:{http}/ping"))
        ask = _Influx(http)
        ask.query("CREATE DATABASE bench")
        began = time.perf_counter()
        _write_lines(ask, peer)
        loaded = time.perf_counter() - began
        _settle(folder / "data")
        first, last = peer.day_us
        span = f"time >= {first}u AND time < {last}u"
        month = [f"SELECT value FROM pm25 WHERE id = 'station-{one:06d}'" for one in peer.picks()]
        size = sum(f.stat().st_size for part in ("data", "wal") for f in (folder / part).rglob("*") if f.is_file())
        return {
            "load_rows_per_s": peer.rows / loaded,
            "bytes_per_row": size / peer.rows,
            "query_ms": {
                "month_of_one_series": _ask_ms(ask, month, peer.steps),
                "latest_of_all": _ask_ms(ask, ["SELECT last(value) FROM pm25 GROUP BY id"] * peer.repeats, peer.series),
                "city_day_hourly": _ask_ms(
                    ask, [f"SELECT mean(value) FROM pm25 WHERE {span} GROUP BY time(1h)"] * peer.repeats, 24
                ),
            },
        }
    finally:
        server.terminate()
        server.wait(_START_S)


class _Influx:
    """Just enough of InfluxDB's HTTP interface."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def query(self, text: str) -> Any:
        body = urllib.parse.urlencode({"db": "bench", "epoch": "u", "q": text}).encode()
        with urllib.request.urlopen(f"{self._base}/query", body, timeout=600) as answer:  # noqa: S310
            return json.load(answer)

    def write(self, body: bytes) -> None:
        with urllib.request.urlopen(f"{self._base}/write?db=bench&precision=u", body, timeout=600):  # noqa: S310
            pass


def _write_lines(ask: _Influx, peer: Peer) -> None:
    names = pa.array([f"pm25,id=station-{one:06d} value=" for one in range(peer.series)])
    waiting: list[bytes] = []
    rows = 0
    for step in range(peer.steps):
        for columns in peer.make(step):
            lines = pc.binary_join_element_wise(
                pc.binary_join_element_wise(
                    names.take(pa.array(columns.series)), pc.cast(pa.array(columns.value), pa.string()), ""
                ),
                pc.cast(pa.array(columns.observed_at_us), pa.string()),
                " ",
            )
            waiting.append("\n".join(lines.to_pylist()).encode())
            rows += len(columns)
        if rows >= 20_000 or step == peer.steps - 1:
            ask.write(b"\n".join(waiting))
            waiting, rows = [], 0


def _ask_ms(ask: _Influx, statements: list[str], expected: int) -> float:
    times = []
    for statement in statements:
        began = time.perf_counter()
        answer = ask.query(statement)
        times.append((time.perf_counter() - began) * 1000)
        found = sum(len(one["values"]) for one in answer["results"][0].get("series", ()))
        if found != expected:
            raise Fault("bench.wrong_answer", found=found, expected=expected)
    return statistics.median(times)


def _settle(folder: Path) -> None:
    """Wait until the size stays the same: what InfluxDB merges behind is merged."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < 120:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if size == before:
            return
        before = size
        time.sleep(5)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1):  # noqa: S310
            return True
    except OSError:
        return False


def _until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + _START_S
    while not ready():
        if time.monotonic() > end:
            raise Fault("bench.server_failed", detail="a peer did not start")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
