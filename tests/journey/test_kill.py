"""``kill -9`` at any moment: what was acknowledged is stored, once, with its content; the rest can be sent again."""

from __future__ import annotations

import csv
import gzip
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain, count
from zoneinfo import ZoneInfo

import httpx
import msgspec
import paho.mqtt.client as paho
import pytest

pytestmark = pytest.mark.integration

FIRST = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
WINDOW = 20


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def alive(running_gulou, data):
    """Start a server on the same data directory again and again; none is left behind."""
    started = []

    def start():
        running = running_gulou(data)
        started.append(running)
        running.said = dict(started[0].said)
        return running.start()

    yield start
    for running in started:
        if running.process.poll() is None:
            running.kill()


class Device:
    """A device that sends numbered readings at QoS 1 and remembers which it sent and which were acknowledged."""

    def __init__(self, port: int, secret: str, numbers: Iterable[int]) -> None:
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()
        self._numbers = iter(numbers)
        self._sent: dict[int, int] = {}
        self._lock = threading.Lock()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="gauge-1")
        self._client.username_pw_set("gauge-1", secret)
        self._client.on_connect = self._begin
        self._client.on_publish = self._acknowledge
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _begin(self, *_: object) -> None:
        for _n in range(WINDOW):
            self._send_next()

    def _send_next(self) -> None:
        number = next(self._numbers, None)
        if number is not None:
            with self._lock:
                self.sent.add(number)
                self._sent[self._client.publish("gulou/gauge-1/readings", reading(number), qos=1).mid] = number

    def _acknowledge(self, _client: object, _data: object, mid: int, *_: object) -> None:
        with self._lock:
            self.acknowledged.add(self._sent.pop(mid))
        self._send_next()

    def close(self) -> None:
        self._client.loop_stop()


def moment(number: int) -> str:
    return (FIRST + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


def reading(number: int) -> bytes:
    return msgspec.json.encode({"waterLevel": number / 1000, "observedAt": moment(number)})


def account(admin: httpx.Client, source: str) -> dict[str, int]:
    found = [one for one in admin.get("/accounting").json()["accounts"] if one["source"] == source]
    return found[0] if found else {"received": 0, "stored": 0, "rejected": 0, "dropped": 0}


def test_over_mqtt_every_acknowledged_reading_is_stored_once(alive, data, gulou, lines, wait_for) -> None:
    running = alive()
    made = gulou("devices", "add", "gauge-1", "--entity", "WaterLevelObserved:gauge-1", "--data", data, "--json")
    secret = lines(made.stdout)[0]["secret"]
    acknowledged: set[int] = set()
    sent: set[int] = set()
    for at_least in (1, 120, 300, 500):
        # What stayed unanswered goes first; then there is always more to send, however fast the machine is.
        device = Device(running.mqtt_port, secret, chain(sorted(sent - acknowledged), count(len(sent))))
        wait_for(lambda device=device, n=at_least: len(device.acknowledged) >= n, message="acknowledgements")
        running.kill()
        device.close()
        acknowledged |= device.acknowledged
        sent |= device.sent
        running = alive()
        stored = levels(gulou, lines, data)
        assert acknowledged <= set(stored) <= sent
        assert stored == {number: number / 1000 for number in stored}

    device = Device(running.mqtt_port, secret, sorted(sent - acknowledged))
    wait_for(lambda: acknowledged | device.acknowledged == sent, timeout_s=60, message="all acknowledged")
    device.close()

    assert levels(gulou, lines, data) == {number: number / 1000 for number in sent}
    with closing(running.admin()) as admin:
        sums = account(admin, "mqtt")
        doubles = admin.get("/rejected", params={"source": "mqtt", "limit": 1}).json()["total"]
        assert sums["received"] == sums["stored"] + sums["rejected"] + sums["dropped"]
        assert (sums["stored"], sums["rejected"], sums["dropped"]) == (len(sent), doubles, 0)


def levels(gulou, lines, data) -> dict[int, float]:
    """What is stored of the gauge, by number; a number that stands twice fails."""
    asked = gulou(
        "query", "WaterLevelObserved", "--id", "*gauge-1", "--property", "waterLevel", "--json", "--data", data
    )
    rows = lines(asked.stdout)
    numbers = [round((datetime.fromisoformat(row["observed_at"]) - FIRST).total_seconds()) for row in rows]
    assert len(numbers) == len(set(numbers))
    return dict(zip(numbers, (row["value"] for row in rows), strict=True))


# loading a file

COLUMNS = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM", "wd")
ROWS = 6_000
CHUNK = 500


@pytest.fixture
def station(city_data, tmp_path):
    """The first rows of a real file: (path, its records)."""
    source = city_data / "air" / "PRSA_Data_Aotizhongxin_20130301-20170228.csv.gz"
    with gzip.open(source, "rt", encoding="utf-8") as file:
        text = [next(file) for _ in range(ROWS + 1)]
    path = tmp_path / "station.csv"
    path.write_text("".join(text), encoding="utf-8")
    return path, list(csv.DictReader(text))


def present(record: dict[str, str]) -> int:
    return sum(record[column] not in ("", "NA") for column in COLUMNS)


def stored_pm25(gulou, lines, data) -> dict[str, float]:
    asked = gulou(
        "query", "AirQualityObserved", "--id", "*Aotizhongxin", "--property", "pm25", "--json", "--data", data
    )
    rows = lines(asked.stdout)
    assert len({row["observed_at"] for row in rows}) == len(rows)
    return {row["observed_at"]: row["value"] for row in rows}


def true_pm25(records: list[dict[str, str]]) -> dict[str, float]:
    found = {}
    for record in records:
        year, month, day, hour = (int(record[part]) for part in ("year", "month", "day", "hour"))
        at = datetime(year, month, day, hour, tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(ZoneInfo("UTC"))
        found[at.strftime("%Y-%m-%dT%H:%M:%SZ")] = record["PM2.5"]
    return {at: float(value) for at, value in found.items() if value != "NA"}


def bearer(data) -> dict[str, str]:
    return {"Authorization": f"Bearer {msgspec.json.decode((data / 'server.json').read_bytes())['token']}"}


@pytest.mark.data
def test_while_a_file_is_loaded_every_acknowledged_chunk_is_stored_once(alive, data, station, gulou, lines) -> None:
    _, records = station
    chunks = [records[first : first + CHUNK] for first in range(0, ROWS, CHUNK)]
    acknowledged = 0
    for delay_s in (0.0, 0.02, 0.06):
        running = alive()
        position = origin_position(running, data)
        assert acknowledged <= position <= acknowledged + CHUNK
        assert stored_pm25(gulou, lines, data) == true_pm25(records[:position])
        send(running, data, chunks[position // CHUNK], position)
        with ThreadPoolExecutor(1) as pool:  # the second chunk is under way when the process dies
            under_way = pool.submit(send, running, data, chunks[position // CHUNK + 1], position + CHUNK)
            time.sleep(delay_s)  # the moment itself is what is tried
            running.kill()
        acknowledged = position + CHUNK + CHUNK * (under_way.exception() is None)

    running = alive()
    position = origin_position(running, data)
    assert acknowledged <= position
    for index in range(position // CHUNK, len(chunks)):
        send(running, data, chunks[index], index * CHUNK)
    assert stored_pm25(gulou, lines, data) == true_pm25(records)
    with closing(running.admin()) as admin:
        sums = account(admin, "load:prsa-air")
    expected = sum(present(record) for record in records)
    assert (sums["received"], sums["stored"], sums["rejected"]) == (expected, expected, 0)


def origin_position(running, data) -> int:
    answer = httpx.get(f"{running.url}/api/v1/loads/prsa-air/origins/station", headers=bearer(data), trust_env=False)
    return answer.json().get("position", 0) if answer.status_code == 200 else 0


def send(running, data, records: list[dict[str, str]], after: int) -> None:
    httpx.post(
        f"{running.url}/api/v1/loads/prsa-air",
        params={"origin": "station", "position": after + CHUNK, "first_row": after + 1, "file_name": "station.csv"},
        content=b"\n".join(map(msgspec.json.encode, records)),
        headers={**bearer(data), "Content-Type": "application/x-ndjson"},
        trust_env=False,
        timeout=30,
    ).raise_for_status()


@pytest.mark.data
def test_an_interrupted_load_command_goes_on_where_it_was(alive, data, station, gulou, lines, wait_for) -> None:
    path, records = station
    running = alive()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(gulou, "load", path, "--as", "prsa-air", "--json", "--data", data, check=False)
        with closing(running.admin()) as admin:
            wait_for(lambda: account(admin, "load:prsa-air")["received"] > 0, message="the first rows")
        running.kill()
        first = loading.result(120)
    running = alive()

    again = gulou("load", path, "--as", "prsa-air", "--json", "--data", data)

    assert first.returncode in (0, 3)
    expected = sum(present(record) for record in records)
    assert lines(again.stdout)[-1] == {"received": expected, "stored": expected, "rejected": 0, "dropped": 0}
    assert stored_pm25(gulou, lines, data) == true_pm25(records)
