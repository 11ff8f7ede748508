"""A device that may no longer be here loses what it has open, whoever's client it uses."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

pytestmark = pytest.mark.integration
needs_clients = pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="not installed: mosquitto-clients")


def add(at, device, adapter):
    made = at("devices", "add", device, "--entity", f"Streetlight:{device}", "--adapter", adapter, "--json")
    return json.loads(made.stdout)["secret"]


def is_online(at, device):
    return json.loads(at("devices", "show", device, "--json").stdout)["online"]


def disable(at, device, folder):
    file = folder / "devices.csv"
    file.write_text(f"id,enabled\n{device},false\n")
    at("devices", "import", file)


ENDS = {
    "removed": lambda at, device, folder: at("devices", "remove", device),
    "new-secret": lambda at, device, folder: at("devices", "secret", device),
    "disabled": disable,
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho_is_disconnected_and_not_let_in_again(city, at, tmp_path, end, protocol):
    device = f"{end}-{protocol}"
    secret = add(at, device, "mqtt")
    heard, gone, refused = threading.Event(), threading.Event(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=device, protocol=protocol)
    client.username_pw_set(device, secret)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: (
        refused if reason.is_failure else heard
    ).set()
    client.on_disconnect = lambda *_: gone.set()
    client.connect("127.0.0.1", city.mqtt_port)
    client.loop_start()
    try:
        assert heard.wait(10)
        ENDS[end](at, device, tmp_path)
        assert gone.wait(10)
        assert refused.wait(20)
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_change_that_leaves_a_device_enabled_leaves_its_connection(city, at, tmp_path, wait_for):
    secret = add(at, "renamed", "mqtt")
    other = add(at, "ended", "mqtt")
    gone: list[str] = []
    clients = []
    for device, password in (("renamed", secret), ("ended", other)):
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=device)
        client.username_pw_set(device, password)
        ready = threading.Event()
        client.on_connect = lambda *_, ready=ready: ready.set()
        client.on_disconnect = lambda *_, device=device: gone.append(device)
        client.connect("127.0.0.1", city.mqtt_port)
        client.loop_start()
        clients.append(client)
        assert ready.wait(10)
    file = tmp_path / "devices.csv"
    file.write_text("id,name\nrenamed,new name\n")
    at("devices", "import", file)
    at("devices", "remove", "ended")  # heard after the other change: once it is gone, both were dealt with
    try:
        wait_for(lambda: gone)
        assert "renamed" not in gone
        clients[0].publish("gulou/renamed/readings", b"{}", 1).wait_for_publish(10)
        assert clients[0].is_connected()
    finally:
        for client in clients:
            client.disconnect()
            client.loop_stop()


@needs_clients
def test_mosquitto_sub_is_told_of_the_end(city, at, wait_for):
    secret = add(at, "listening", "mqtt")
    who = ["-h", "127.0.0.1", "-p", str(city.mqtt_port), "-u", "listening", "-P", secret, "-V", "mqttv5"]
    what = ["-d", "-t", "gulou/listening/commands", "-W", "20"]
    listening = subprocess.Popen(["mosquitto_sub", *who, *what], stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: is_online(at, "listening"))
        at("devices", "remove", "listening")
        said, _ = listening.communicate(timeout=40)
    finally:
        listening.kill()
        listening.wait()
    assert "DISCONNECT (152)" in said


def test_a_long_poll_is_answered_with_401(city, at, wait_for):
    secret = add(at, "polling", "http")
    url = f"{city.url}/ingest/v1/commands?wait=50"
    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(httpx.get, url, auth=("polling", secret), timeout=55, trust_env=False)
        wait_for(lambda: is_online(at, "polling"))
        at("devices", "remove", "polling")
        answer = polling.result(30)
    assert answer.status_code == 401
