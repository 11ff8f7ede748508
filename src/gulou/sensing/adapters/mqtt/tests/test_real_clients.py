"""Other people's clients at our endpoint, and our client at other people's broker."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gulou.kernel.errors import Unavailable
from gulou.sensing.adapters.mqtt import BrokerSettings, MqttAdapter, MqttSettings
from gulou.sensing.sdk import Mapping
from gulou.sensing.sdk.contract import DEVICE, SECRET, House, eventually

pytestmark = pytest.mark.integration
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_clients = pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="not installed: mosquitto-clients")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="not installed: mosquitto")
TOPIC = f"gulou/{DEVICE}/readings"
AIR = """
mapping: foreign-air
format: json
match: ["city/+station/air"]
entity: {type: AirQualityObserved, id: "{station}"}
time: {column: at}
values: [{column: pm25, property: pm25, unit: ug/m3}]
"""


@pytest.fixture
def house():
    return House()


@pytest.fixture
def endpoint(house):
    adapter = MqttAdapter(MqttSettings(port=0), house.context())
    house.commands.send = adapter.send
    adapter.start()
    yield adapter
    adapter.stop()


def mosquitto_pub(adapter, *arguments, secret=SECRET):
    host, port = adapter.addresses["mqtt"]
    command = ["mosquitto_pub", "-h", host, "-p", str(port), "-u", DEVICE, "-P", secret, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@needs_clients
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1"])
def test_mosquitto_pub_makes_a_reading(house, endpoint, version, qos):
    done = mosquitto_pub(endpoint, "-V", version, "-q", qos, "-t", TOPIC, "-m", '{"level": 2.5}')
    assert done.returncode == 0, done.stderr
    assert eventually(lambda: house.intake.readings)
    assert house.intake.readings[0].value == 2.5


@needs_clients
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_pub_with_a_wrong_password_does_not(house, endpoint, version):
    done = mosquitto_pub(endpoint, "-V", version, "-q", "1", "-t", TOPIC, "-m", '{"level": 2.5}', secret="wrong")
    assert done.returncode != 0
    assert house.intake.submissions == []


@needs_clients
def test_a_garbage_payload_of_mosquitto_pub_is_listed_as_rejected(house, endpoint):
    assert mosquitto_pub(endpoint, "-q", "1", "-t", TOPIC, "-m", "garbage").returncode == 0
    assert house.intake.codes() == ["payload.malformed"]
    assert house.intake.rejected[0][0].raw == b"garbage"


@needs_clients
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_sub_hears_its_command(house, endpoint, version):
    host, port = endpoint.addresses["mqtt"]
    who = ["-h", host, "-p", str(port), "-u", DEVICE, "-P", SECRET, "-V", version]
    what = ["-q", "1", "-t", f"gulou/{DEVICE}/commands", "-C", "1", "-W", "20"]
    listening = subprocess.Popen(["mosquitto_sub", *who, *what], stdout=subprocess.PIPE, text=True)
    try:
        assert eventually(lambda: house.commands.available)
        house.commands.request(house.command())
        out, _ = listening.communicate(timeout=20)
    finally:
        listening.kill()
        listening.wait()
    assert json.loads(out)["id"] == "cmd-1"


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_paho_publishes_many_and_hears_a_command(house, endpoint, protocol):
    heard = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="paho", protocol=protocol)
    client.username_pw_set(DEVICE, SECRET)
    client.on_connect = lambda c, *_: c.subscribe(f"gulou/{DEVICE}/commands", 1)
    client.on_message = lambda *_: heard.set()
    client.connect(*endpoint.addresses["mqtt"])
    client.loop_start()
    try:
        assert eventually(lambda: house.commands.available)
        sent = [client.publish(TOPIC, json.dumps({"level": n}), 1) for n in range(500)]
        for one in sent:
            one.wait_for_publish(20)
        house.commands.request(house.command())
        assert heard.wait(10)
    finally:
        client.disconnect()
        client.loop_stop()
    assert [reading.value for reading in house.intake.readings] == list(range(500))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Broker:
    """A real mosquitto on a free port of the loopback."""

    def __init__(self, folder):
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        )
        self._process = None

    def start(self):
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        assert eventually(self._answers)

    def stop(self):
        self._process.terminate()
        self._process.wait(10)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def publish(self, topic, payload, qos=1):
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="someone")
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        client.publish(topic, payload, qos).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    tmp_path.chmod(0o777)
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def reader(house, broker, **settings):
    context = house.context()
    context.mappings.replace("test", [Mapping.parse(AIR, "air.yaml")])
    one = BrokerSettings(name="city", host="127.0.0.1", port=broker.port, retry_s=1, retry_most_s=1, **settings)
    return MqttAdapter(MqttSettings(listen=False, brokers=(one,)), context)


def air(second, value=35):
    return json.dumps({"at": f"2026-07-01T08:00:{second:02}Z", "pm25": value})


@pytest.fixture
def run(house, broker):
    started = []

    def start(**settings):
        adapter = reader(house, broker, **settings)
        adapter.start()
        started.append(adapter)
        assert eventually(lambda: adapter.health().state == "up")
        return adapter

    yield start
    for adapter in started:
        adapter.stop()


@needs_broker
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_an_external_brokers_messages_are_read_by_their_mapping(house, broker, run, version):
    adapter = run(version=version)
    broker.publish("city/s1/air", air(0))
    broker.publish("city/s1/air", b"garbage")
    assert eventually(lambda: house.intake.readings and house.intake.rejected)
    assert house.intake.readings[0].entity_id == "urn:ngsi-ld:AirQualityObserved:s1"
    assert house.intake.submissions[0].source == "mqtt:city"
    assert adapter.counters.values().received == 2


@needs_broker
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_what_was_not_durable_is_delivered_again_after_a_restart(house, broker, run, version):
    adapter = run(version=version)
    house.intake.unavailable = Unavailable("intake.disk_full", path="log", free_mb=0)
    broker.publish("city/s1/air", air(0))
    adapter.stop(timeout_s=0.5)
    assert house.intake.readings == []
    house.intake.unavailable = None
    run(version=version)
    assert eventually(lambda: house.intake.readings)


@needs_broker
def test_a_broker_that_goes_and_comes_is_joined_again(house, broker, run):
    adapter = run()
    broker.stop()
    assert eventually(lambda: adapter.health().state == "degraded")
    broker.start()
    assert eventually(lambda: adapter.health().state == "up", 20)
    broker.publish("city/s1/air", air(0))
    assert eventually(lambda: house.intake.readings)


@needs_broker
def test_one_mapping_for_all_topics_of_a_broker(house, broker, run):
    run(mapping="foreign-air", topics=("other/+station",))
    broker.publish("other/s9", air(0))
    assert eventually(lambda: house.intake.readings)
    assert house.intake.readings[0].entity_id == "urn:ngsi-ld:AirQualityObserved:s9"


def test_a_broker_that_is_not_there_degrades_and_stops_cleanly(house):
    one = BrokerSettings(name="city", host="127.0.0.1", port=free_port())
    adapter = MqttAdapter(MqttSettings(listen=False, brokers=(one,)), house.context())
    adapter.start()
    assert adapter.health().state == "degraded"
    adapter.stop()
