"""What simulated devices say and what they are is in the vocabulary's words and within its ranges."""

import json

import pytest

from gulou.access import Audit, DeviceCredentials, Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.devices import DeviceRegistry
from gulou.kernel.clock import SystemClock, from_rfc3339
from gulou.records import Database
from gulou.sensing.simulation import SimulationSettings, World, build_city
from gulou.sensing.simulation.provision import device_records, entities, new_credentials, provision, read_credentials
from gulou.vocabulary import Vocabulary

MORNING_US = from_rfc3339("2026-07-01T08:10:00+08:00")
NIGHT_US = from_rfc3339("2026-07-01T23:30:00+08:00")


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


@pytest.fixture(scope="module")
def city():
    return build_city(SimulationSettings(devices=150, storm="now"))


@pytest.mark.parametrize("start_us", [MORNING_US, NIGHT_US])
def test_every_reading_passes_the_vocabulary(vocabulary, city, start_us):
    world = World(city, start_us)
    said = [utterance for _ in range(130) for utterance in world.step()]

    for utterance in said:
        for name, value in utterance.channels.items():
            vocabulary.check(utterance.device.family.entity_type, name, value)
    assert {utterance.device.family.name for utterance in said} == set(city.groups)


def test_a_message_carries_the_channels_that_its_family_declares(city):
    world = World(city, MORNING_US)
    declared = {name: group.family.channels for name, group in city.groups.items()}

    for utterance in (said for _ in range(60) for said in world.step()):
        assert tuple(utterance.channels) == declared[utterance.device.family.name]


def test_messages_are_json(city):
    world = World(city, MORNING_US)

    for utterance in world.step() + world.step():
        assert json.loads(json.dumps(utterance.channels)) == utterance.channels


def test_entities_are_of_known_types_with_known_attributes(vocabulary, city):
    made = list(entities(city))

    ids = {entity["id"] for entity in made}
    assert len(ids) == len(made)
    for entity in made:
        properties = vocabulary.get_type(entity["type"]).properties
        for name, attribute in entity.items():
            assert name in properties or name in {"id", "type"}
            match attribute:
                case {"type": "Relationship", "object": target}:
                    assert target in ids
                    assert properties[name].kind == "relation"
                case {"type": "Property", "value": value}:
                    vocabulary.check(entity["type"], name, value)
                case {"type": "GeoProperty", "value": value}:
                    vocabulary.check(entity["type"], name, value)


def test_the_story_s_pump_drains_the_story_s_drain(city):
    made = {entity["id"]: entity for entity in entities(city)}

    assert made["urn:ngsi-ld:Pump:pump-1"]["drains"]["object"] == "urn:ngsi-ld:WaterLevelObserved:drain-1"
    assert made["urn:ngsi-ld:WaterLevelObserved:drain-1"]["siteCategory"]["value"] == "drain"
    assert made["urn:ngsi-ld:WaterLevelObserved:drain-1"]["name"]["languageMap"]["zh"].startswith("东门下穿隧道")


def test_devices_come_after_the_gateways_that_carry_them(city):
    seen = set()
    for record in device_records(city):
        assert record.get("gateway_id") is None or record["gateway_id"] in seen
        seen.add(record["id"])
    assert len(seen) == 150


def test_only_devices_that_connect_have_secrets_and_never_the_same(city):
    first, second = new_credentials(city), new_credentials(city)

    own = {device.id for device in city.devices if device.link != "gateway"} | {g.id for g in city.gateways}
    assert set(first) == own
    assert not set(first.values()) & set(second.values())


def test_provisioning_again_keeps_secrets_and_hides_them(city, tmp_path):
    made = provision(city, tmp_path / "city")
    before = read_credentials(made.credentials)
    provision(city, tmp_path / "city")

    assert read_credentials(made.credentials) == before
    assert made.credentials.stat().st_mode & 0o777 == 0o600
    assert sum(1 for _ in made.devices.open()) == 150
    assert json.loads(made.base_map.read_text())["type"] == "FeatureCollection"


def test_the_registry_takes_every_device(city, tmp_path):
    made = provision(city, tmp_path / "city")
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = SystemClock()
    registry = DeviceRegistry(database, clock, MemoryBus(), Audit(database, clock), DeviceCredentials(database, clock))

    report = registry.bulk(made.devices.read_bytes(), "ndjson", Principal.system("test"))
    binding = registry.resolve("drain-1", "waterLevel")
    database.close()

    assert (report.created, report.failed) == (150, 0)
    assert binding.entity_id == "urn:ngsi-ld:WaterLevelObserved:drain-1"
