"""The registry: changes, bindings, presence, lists, bulk files."""

import msgspec
import numpy as np
import pytest

from gulou.access import Audit, AuditFilter, DeviceCredentials, Permission, Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.devices import (
    Binding,
    Device,
    DeviceChanged,
    DeviceConnected,
    DeviceDisconnected,
    DeviceQuery,
    DeviceRegistry,
    DeviceReplica,
)
from gulou.connectivity.devices import index as index_module
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.kernel.errors import Conflict, Denied, Invalid, NotFound
from gulou.records import Database
from gulou.vocabulary import Vocabulary

ADMIN = Principal.system("test")
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
PUMP = "urn:ngsi-ld:Pump:pump-1"


class Place:
    def __init__(self, path):
        self.clock = VirtualClock(1_000_000 * SECOND_US)
        self.bus = MemoryBus()
        self.database = Database.at(path / "records.db")
        self.database.create_tables()
        self.audit = Audit(self.database, self.clock)
        self.credentials = DeviceCredentials(self.database, self.clock)
        self.messages = []
        for kind in (DeviceConnected, DeviceDisconnected, DeviceChanged):
            self.bus.subscribe(kind, self.messages.append, name=kind.__name__)
        self.open()

    def open(self, **options):
        self.registry = DeviceRegistry(self.database, self.clock, self.bus, self.audit, self.credentials, **options)
        return self.registry

    def said(self, kind):
        return [message.device_id for message in self.messages if isinstance(message, kind)]


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    yield place
    place.database.close()


@pytest.fixture
def registry(place):
    return place.registry


def device(id_="drain-1", **changes):
    return Device(**({"id": id_, "name": id_, "adapter": "mqtt"} | changes))


def star(entity_id, entity_type="WaterLevelObserved"):
    return Binding(entity_id, entity_type)


def test_a_device_is_kept_over_a_restart_with_everything_it_has(place, registry):
    wanted = device(
        kind="actuator",
        bindings=(star(DRAIN), Binding(PUMP, "Pump", "power", "activePower", "kW")),
        mapping="m",
        department="water",
        longitude=116.4,
        latitude=39.9,
        silence_s=60,
        sleepy=True,
        enabled=False,
        labels={"站": "鼓楼"},
    )
    made = registry.create(wanted, ADMIN)
    assert (made.version, made.created_at_us, made.online) == (1, place.clock.now_us(), None)
    assert place.open().get_device("drain-1") == made


def test_every_change_is_audited_and_announced(place, registry):
    registry.create(device(), ADMIN)
    registry.change("drain-1", {"name": "new"}, ADMIN)
    registry.delete("drain-1", ADMIN)
    entries = place.audit.list(AuditFilter()).items
    assert sorted(entry.action for entry in entries) == ["device.created", "device.deleted", "device.updated"]
    assert [message.change for message in place.messages] == ["created", "updated", "deleted"]


def test_a_change_to_the_same_changes_nothing(registry, place):
    made = registry.create(device(), ADMIN)
    assert registry.change("drain-1", {"name": "drain-1"}, ADMIN) == made
    assert len(place.messages) == 1


def test_an_old_version_is_a_conflict(registry):
    made = registry.create(device(), ADMIN)
    registry.change("drain-1", {"name": "a"}, ADMIN)
    with pytest.raises(Conflict) as refused:
        registry.replace(made, ADMIN)
    assert refused.value.params == {"device_id": "drain-1", "version": 2, "read": 1}
    assert registry.replace(device(version=2), ADMIN).version == 3


def test_the_same_id_twice_is_a_conflict(registry):
    registry.create(device(), ADMIN)
    with pytest.raises(Conflict):
        registry.create(device(), ADMIN)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"adapter": ""}, "adapter"),
        ({"gateway_id": "drain-1"}, "gateway_id"),
        ({"longitude": 181.0, "latitude": 0.0}, "longitude"),
        ({"longitude": 1.0}, "longitude"),
        ({"longitude": float("nan"), "latitude": 1.0}, "longitude"),
        ({"silence_s": 0}, "silence_s"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {str(n): "x" for n in range(65)}}, "labels"),
        ({"bindings": (Binding("no urn", "T"),)}, "bindings[0].entity_id"),
        ({"bindings": (Binding(DRAIN, "T", "*", "p"),)}, "bindings[0].channel"),
        ({"bindings": (Binding(DRAIN, "T"),) * 1001}, "bindings"),
    ],
)
def test_a_field_that_is_wrong_is_named(registry, changes, field):
    with pytest.raises(Invalid) as refused:
        registry.create(device(**changes), ADMIN)
    assert (refused.value.code, refused.value.params["field"]) == ("device.field_invalid", field)
    assert registry.find_device("drain-1") is None


@pytest.mark.parametrize("id_", ["", "a b", "x" * 129, "a/b", "鼓楼", "a\n"])
def test_an_id_that_is_no_id(registry, id_):
    with pytest.raises(Invalid) as refused:
        registry.create(device(id_), ADMIN)
    assert refused.value.code == "device.id_malformed"


def test_fields_that_cannot_be_changed(registry):
    registry.create(device(), ADMIN)
    for field in ("id", "version", "online", "nonsense"):
        with pytest.raises(Invalid) as refused:
            registry.change("drain-1", {field: "x"}, ADMIN)
        assert refused.value.code == "device.field_unknown"


def test_gateways_come_first_and_leave_last(registry):
    with pytest.raises(Invalid) as refused:
        registry.create(device(gateway_id="gate"), ADMIN)
    assert refused.value.code == "device.gateway_unknown"
    registry.create(device("gate"), ADMIN)
    registry.create(device(gateway_id="gate"), ADMIN)
    assert registry.children("gate") == ("drain-1",)
    with pytest.raises(Conflict):
        registry.delete("gate", ADMIN)
    registry.change("drain-1", {"gateway_id": None}, ADMIN)
    registry.delete("gate", ADMIN)
    assert registry.children("gate") == ()


def test_what_is_not_permitted_is_not_done(registry):
    water = Principal("user", "u", "u", permissions=(Permission("device.write", departments=frozenset({"water"})),))
    registry.create(device("roads-1", department="roads"), ADMIN)
    registry.create(device("water-1", department="water"), water)
    for attempt in (
        lambda: registry.create(device("roads-2", department="roads"), water),
        lambda: registry.change("roads-1", {"name": "mine"}, water),
        lambda: registry.change("water-1", {"department": "roads"}, water),
        lambda: registry.delete("roads-1", water),
        lambda: registry.set_credentials("roads-1", water),
    ):
        with pytest.raises(Denied):
            attempt()
    report = registry.bulk(b'{"id": "roads-1", "name": "mine"}', "ndjson", water)
    assert [line.code for line in report.lines] == ["access.denied"]


def test_channels_resolve_to_properties(registry):
    bindings = (star(DRAIN), Binding(PUMP, "Pump", "p1", "activePower", "kW"), Binding(PUMP, "Pump", "status"))
    registry.create(device(bindings=bindings), ADMIN)
    assert registry.resolve("drain-1", "waterLevel") == Binding(DRAIN, "WaterLevelObserved", "*", "waterLevel")
    assert registry.resolve("drain-1", "p1") == bindings[1]
    assert registry.resolve("drain-1", "status").property == "status"
    assert registry.resolve("nobody", "p1") is None
    registry.change("drain-1", {"bindings": (bindings[1],)}, ADMIN)
    assert registry.resolve("drain-1", "waterLevel") is None


def test_two_stars_are_told_apart_by_the_vocabulary(place):
    registry = place.open(knows=Vocabulary.load())
    bindings = (star("urn:x:air", "AirQualityObserved"), star("urn:x:weather", "WeatherObserved"))
    registry.create(device(bindings=bindings), ADMIN)
    assert registry.resolve("drain-1", "visibility").entity_id == "urn:x:weather"
    assert registry.resolve("drain-1", "pm25").entity_id == "urn:x:air"
    assert registry.resolve("drain-1", "unheard-of").entity_id == "urn:x:air"


@pytest.mark.parametrize("count", [1, 20])
def test_a_device_may_report_only_what_is_bound(registry, count):
    others = tuple(Binding(f"urn:x:{n}", "T", f"c{n}") for n in range(count))
    registry.create(device(bindings=(star(DRAIN), Binding(PUMP, "Pump", "p", "activePower"), *others)), ADMIN)
    registry.create(device("off", enabled=False), ADMIN)
    assert registry.refusal("drain-1", DRAIN, "anything") is None
    assert registry.refusal("drain-1", PUMP, "activePower") is None
    assert registry.refusal("drain-1", "urn:x:0", "c0") is None
    assert registry.refusal("drain-1", PUMP, "p") == "device.not_bound"
    assert registry.refusal("drain-1", "urn:x:else", "activePower") == "device.not_bound"
    assert registry.refusal("off", DRAIN, "x") == "device.disabled"
    assert registry.refusal("nobody", DRAIN, "x") == "device.unknown"


def test_which_device_to_command(registry):
    registry.create(device("a-sensor", bindings=(star(PUMP, "Pump"),)), ADMIN)
    registry.create(device("drive", kind="actuator", bindings=(star(PUMP, "Pump"),)), ADMIN)
    registry.create(device("meter", bindings=(Binding(PUMP, "Pump", "kwh", "energy"),)), ADMIN)
    assert registry.device_of(PUMP) == "drive"
    assert registry.device_of(PUMP, "energy") == "meter"
    assert registry.device_of(PUMP, "status") == "drive"
    registry.change("drive", {"enabled": False}, ADMIN)
    assert registry.device_of(PUMP, "status") == "a-sensor"
    registry.delete("drive", ADMIN)
    assert registry.device_of(PUMP, "status") == "a-sensor"
    assert registry.device_of("urn:x:nothing") is None


def test_a_will_goes_with_the_devices_going_or_follows_it(place, registry):
    registry.create(device(), ADMIN)
    registry.connected("drain-1")
    registry.disconnected("drain-1", "closed", "rooms/7: gone")
    registry.left_will("drain-1", "rooms/7: still gone")
    registry.connected("drain-1")
    registry.left_will("drain-1", "rooms/7: back already")
    gone = [(m.reason, m.will) for m in place.messages if isinstance(m, DeviceDisconnected)]
    assert gone == [("closed", "rooms/7: gone"), ("will", "rooms/7: still gone")]


def test_connections_and_silence_make_online_and_offline(place, registry):
    registry.create(device(silence_s=60), ADMIN)
    registry.connected("drain-1")
    registry.connected("drain-1")
    registry.disconnected("drain-1", "closed")
    assert registry.get_device("drain-1").online is True
    registry.disconnected("drain-1", "keep_alive")
    assert registry.get_device("drain-1").online is False
    registry.seen("drain-1", place.clock.now_us())
    place.clock.advance(60)
    registry.tick(place.clock.now_us())
    assert registry.get_device("drain-1").online is True
    place.clock.advance(6)
    registry.tick(place.clock.now_us())
    assert registry.get_device("drain-1").online is False
    assert place.said(DeviceConnected) == ["drain-1", "drain-1"]
    assert [m.reason for m in place.messages if isinstance(m, DeviceDisconnected)] == ["keep_alive", "silence"]
    registry.seen("nobody", 1)
    registry.left_will("nobody", "gone")
    registry.connected("nobody")
    registry.disconnected("nobody", "closed")


def test_presence_survives_and_silence_goes_on_counting(place, registry):
    registry.create(device(silence_s=60), ADMIN)
    registry.seen("drain-1", place.clock.now_us())
    registry.stop()
    again = place.open()
    found = again.get_device("drain-1")
    assert (found.online, found.last_seen_at_us) == (True, place.clock.now_us())
    place.clock.advance(100)
    again.tick(place.clock.now_us())
    assert again.get_device("drain-1").online is False


@pytest.mark.parametrize("many", [0, 10_000])
def test_what_was_registered_before_the_start_is_there_when_asked_for(place, registry, monkeypatch, many):
    monkeypatch.setattr(index_module, "_MANY", many)
    registry.create(device("gw", kind="gateway"), ADMIN)
    for number in range(5):
        bindings = (star(DRAIN if number < 2 else PUMP, "WaterLevelObserved" if number < 2 else "Pump"),)
        registry.create(device(f"d{number}", gateway_id="gw", bindings=bindings), ADMIN)
    registry.seen("d0", place.clock.now_us())
    registry.stop()
    again = place.open()
    assert [again.number_of(f"d{number}") for number in range(5)] == [1, 2, 3, 4, 5]
    assert again.number_of("d5") is None
    assert again.children("gw") == ("d0", "d1", "d2", "d3", "d4")
    assert [(one.kind, one.total, one.online, one.never) for one in again.summary()] == [
        ("gateway", 1, 0, 1),
        ("sensor", 5, 1, 4),
    ]
    # What is changed, added and removed before anybody has asked for it counts; what was before does not.
    again.change("d1", {"bindings": (star(PUMP, "Pump"),), "gateway_id": None}, ADMIN)
    again.delete("d2", ADMIN)
    again.create(device("d9", kind="actuator", bindings=(star(DRAIN),)), ADMIN)
    again.delete("d3", ADMIN)
    again.create(device("d3", bindings=(star(DRAIN),)), ADMIN)
    again.tick(place.clock.now_us())
    assert again.device_of(DRAIN) == "d9"
    assert again.device_of(PUMP) == "d1"
    again.delete("d9", ADMIN)
    assert again.device_of(DRAIN) == "d0"
    again.delete("d0", ADMIN)
    assert again.device_of(DRAIN) == "d3"
    assert again.children("gw") == ("d4",)
    assert again.number_of("d3") == 7
    found = again.find_registered(["d4", "d2", "d1"])
    assert [None if one is None else (one[0], one[1].id) for one in found] == [(5, "d4"), None, (2, "d1")]
    assert [one.id for one in again.list_devices(DeviceQuery()).items] == ["d1", "d3", "d4", "gw"]
    assert sum(one.total for one in again.summary()) == 4
    assert [again.number_of(one) for one in ("d2", "d0", "d4")] == [None, None, 5]
    assert again.refusal("d2", DRAIN, "level") == "device.unknown"
    again.stop()


def test_another_process_reads_what_it_is_asked_for_and_hears_of_changes(place, registry):
    registry.create(device("gw", kind="gateway"), ADMIN)
    registry.create(device(bindings=(star(DRAIN),), gateway_id="gw"), ADMIN)
    replica = DeviceReplica(place.database)
    assert replica.find_device("drain-1").name == "drain-1"
    assert replica.find_device("nobody") is None
    assert replica.resolve("drain-1", "waterLevel").property == "waterLevel"
    assert replica.children("gw") == ("drain-1",)
    assert [(one.kind, one.total, one.never) for one in replica.summary()] == [("gateway", 1, 1), ("sensor", 1, 1)]
    generation = replica.generation
    registry.change("drain-1", {"name": "renamed"}, ADMIN)
    replica.hear(DeviceChanged(at_us=1, device_id="drain-1", change="updated"))
    assert replica.generation > generation
    assert replica.get_device("drain-1").name == "renamed"
    registry.delete("drain-1", ADMIN)
    replica.reload()
    with pytest.raises(NotFound):
        replica.get_device("drain-1")


def test_the_list_shows_presence_after_a_tick(place, registry):
    for name in ("a", "b", "c"):
        registry.create(device(name), ADMIN)
    registry.seen("a", place.clock.now_us())
    registry.connected("b")
    registry.disconnected("b", "closed")
    registry.tick(place.clock.now_us())
    listed = {
        state: [item.id for item in registry.list_devices(query).items]
        for state, query in {
            "online": DeviceQuery(online=True),
            "offline": DeviceQuery(online=False),
            "never": DeviceQuery(never=True),
        }.items()
    }
    assert listed == {"online": ["a"], "offline": ["b"], "never": ["c"]}
    [count] = registry.summary()
    assert (count.total, count.online, count.offline, count.never) == (3, 1, 1, 1)


@pytest.mark.parametrize("sort", ["id", "-id", "name", "-name", "last_seen", "-last_seen"])
def test_pages_show_every_device_once_in_order(place, registry, sort):
    lines = b"\n".join(
        msgspec.json.encode({"id": f"d{n:02}", "name": f"name {n * 7 % 5}", "adapter": "mqtt"}) for n in range(25)
    )
    registry.bulk(lines, "ndjson", ADMIN)
    for n in range(0, 25, 3):
        registry.seen(f"d{n:02}", place.clock.now_us() - n % 2)
    registry.stop()
    ids, cursor = [], None
    for _ in range(4):
        page = registry.list_devices(DeviceQuery(sort=sort, limit=7, cursor=cursor))
        ids += [(item.name, item.last_seen_at_us or 0, item.id) for item in page.items]
        cursor = page.next
        assert page.total == 25
    keys = {"id": lambda i: i[2], "name": lambda i: (i[0], i[2]), "last_seen": lambda i: (i[1], i[2])}
    assert cursor is None
    assert len(ids) == 25
    assert ids == sorted(ids, key=keys[sort.lstrip("-")], reverse=sort.startswith("-"))


def test_filters(registry):
    registry.create(device("gate", kind="gateway", department="water"), ADMIN)
    registry.create(device("A-7", name="100% 鼓楼", gateway_id="gate", department="roads", adapter="http"), ADMIN)
    registry.create(device("b", bindings=(star(DRAIN),), enabled=False), ADMIN)

    def ids(**query):
        return [item.id for item in registry.list_devices(DeviceQuery(**query)).items]

    assert ids(kind="gateway") == ids(department="water") == ["gate"]
    assert ids(adapter="http") == ids(gateway_id="gate") == ids(text="鼓楼") == ids(text="0% ") == ["A-7"]
    assert ids(text="a-7") == ["A-7"]
    assert ids(text="WATERLEVELobserved:drain") == ids(enabled=False) == ["b"]
    assert ids(text="_") == []
    assert ids(departments=frozenset({"roads"})) == ["A-7", "b"]
    assert ids(departments=frozenset()) == ["b"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 0}, "device.page_limit"),
        ({"limit": 1001}, "device.page_limit"),
        ({"sort": "price"}, "device.sort_unknown"),
        ({"cursor": "garbage"}, "device.cursor_malformed"),
        ({"cursor": '["a","b"]', "sort": "last_seen"}, "device.cursor_malformed"),
        ({"cursor": '[1,"b"]', "sort": "name"}, "device.cursor_malformed"),
    ],
)
def test_bad_queries(registry, query, code):
    with pytest.raises(Invalid) as refused:
        registry.list_devices(DeviceQuery(**query))
    assert refused.value.code == code


def test_secrets(place, registry):
    registry.create(device(), ADMIN)
    made = registry.set_credentials("drain-1", ADMIN)
    assert place.credentials.verify("drain-1", made)
    assert registry.set_credentials("drain-1", ADMIN, "chosen by a person") is None
    assert place.credentials.verify("drain-1", "chosen by a person")
    assert not place.credentials.verify("drain-1", made)
    registry.delete("drain-1", ADMIN)
    assert not place.credentials.verify("drain-1", "chosen by a person")
    with pytest.raises(NotFound):
        registry.set_credentials("drain-1", ADMIN)
    assert made not in str(place.audit.list(AuditFilter()).items)


SECRET = "a-random-secret-of-32-characters!"


def test_bulk_ndjson_takes_the_good_lines_and_names_the_bad(place, registry):
    registry.create(device("known", name="old", labels={"a": "b"}), ADMIN)
    lines = [
        {"id": "gate", "adapter": "mqtt", "kind": "gateway", "secret": SECRET},
        {"id": "drain-1", "adapter": "mqtt", "gateway_id": "gate", "bindings": [msgspec.to_builtins(star(DRAIN))]},
        {"id": "known", "name": "new"},
        {"id": "no-adapter"},
        {"id": "gate", "adapter": "mqtt"},
        {"id": "bad", "adapter": "mqtt", "colour": "red"},
        {"id": "bad id", "adapter": "mqtt"},
        {"id": "short", "adapter": "mqtt", "secret": "123"},
        {"id": "lost", "adapter": "mqtt", "gateway_id": "nowhere"},
    ]
    data = b"\n".join(map(msgspec.json.encode, lines)) + b"\n\n{broken\n\xff\n"
    report = registry.bulk(data, "ndjson", ADMIN)
    assert (report.created, report.updated, report.unchanged, report.failed) == (2, 1, 0, 8)
    assert [(line.line, line.code) for line in report.lines] == [
        (4, "device.field_invalid"),
        (5, "device.line_repeated"),
        (6, "device.line_malformed"),
        (7, "device.id_malformed"),
        (8, "device.field_invalid"),
        (9, "device.gateway_unknown"),
        (11, "device.line_malformed"),
        (12, "device.line_malformed"),
    ]
    assert place.credentials.verify("gate", SECRET)
    known = registry.get_device("known")
    assert (known.name, known.labels, known.version) == ("new", {"a": "b"}, 2)
    assert registry.resolve("drain-1", "waterLevel").entity_id == DRAIN
    assert registry.find_device("short") is None


def test_a_dry_run_says_the_same_and_does_nothing(place, registry):
    lines = b'{"id":"gate","adapter":"mqtt"}\n{"id":"a","adapter":"mqtt","gateway_id":"gate"}\n{"id":"b"}'
    dry = registry.bulk(lines, "ndjson", ADMIN, dry_run=True)
    assert (dry.dry_run, dry.created, dry.failed) == (True, 2, 1)
    assert registry.find_device("gate") is None
    wet = registry.bulk(lines, "ndjson", ADMIN)
    assert (wet.created, wet.failed) == (2, 1)
    assert registry.bulk(lines, "ndjson", ADMIN).unchanged == 2


def test_bulk_secrets_are_made_up_when_asked_for(place, registry):
    report = registry.bulk(
        b'{"id":"a","adapter":"mqtt"}\n{"id":"b","adapter":"mqtt"}', "ndjson", ADMIN, make_secrets=True
    )
    secrets = {line.device_id: line.secret for line in report.lines}
    assert all(place.credentials.verify(device_id, secret) for device_id, secret in secrets.items())
    assert len(set(secrets.values())) == 2


def test_csv_goes_out_and_in_again(place, registry):
    bindings = (star(DRAIN), Binding(PUMP, "Pump", "p", "activePower", "kW"))
    first = device("a", name='say "hi", 鼓楼', bindings=bindings, longitude=116.5, latitude=39.25, labels={"x": "1"})
    registry.create(first, ADMIN)
    registry.create(device("b", sleepy=True, enabled=False), ADMIN)
    text = "".join(registry.export_csv())
    before = [registry.get_device("a"), registry.get_device("b")]
    assert registry.bulk(text.encode(), "csv", ADMIN).unchanged == 2
    registry.delete("a", ADMIN)
    registry.delete("b", ADMIN)
    assert registry.bulk(text.encode(), "csv", ADMIN).created == 2
    assert [registry.get_device("a"), registry.get_device("b")] == before


def test_csv_with_one_binding_in_columns(registry):
    data = (
        "\ufeffid,adapter,entity_id,entity_type,channel,property,unit_code,sleepy,labels.site\r\n"
        f"a,mqtt,{DRAIN},WaterLevelObserved,wl,waterLevel,cm,yes,north\r\n"
        f"b,mqtt,{DRAIN},WaterLevelObserved,,,,maybe,\r\n"
        "c,mqtt,,,,,,,,too,many\r\n"
    ).encode()
    report = registry.bulk(data, "csv", ADMIN)
    assert [(line.line, line.code) for line in report.lines] == [
        (3, "device.line_malformed"),
        (4, "device.line_malformed"),
    ]
    found = registry.get_device("a")
    assert found.bindings == (Binding(DRAIN, "WaterLevelObserved", "wl", "waterLevel", "cm"),)
    assert (found.sleepy, found.labels) == (True, {"site": "north"})


@pytest.mark.parametrize(
    ("data", "form", "code"),
    [
        (b"id,adaptor\n", "csv", "device.bulk_column_unknown"),
        (b"name,adapter\n", "csv", "device.bulk_no_id"),
        (b"", "csv", "device.bulk_no_id"),
        (b"id\n\xff\n", "csv", "device.bulk_not_utf8"),
        (b"", "xml", "device.bulk_form"),
    ],
)
def test_files_that_are_refused_whole(registry, data, form, code):
    with pytest.raises(Invalid) as refused:
        registry.bulk(data, form, ADMIN)
    assert refused.value.code == code


def test_a_subscriber_may_ask_the_registry(place, registry):
    asked = []
    place.bus.subscribe(DeviceChanged, lambda m: asked.append(registry.find_device(m.device_id)), name="asks")
    registry.create(device(), ADMIN)
    assert asked[0].id == "drain-1"


def test_a_changed_secret_is_announced(place, registry):
    registry.create(device(), ADMIN)
    secret = registry.set_credentials("drain-1", ADMIN)
    registry.set_credentials("drain-1", ADMIN, "chosen by hand")
    registry.bulk(b'{"id": "drain-1", "secret": "by a file"}\n', "ndjson", ADMIN)
    registry.revoke_credentials("drain-1", ADMIN)
    assert [message.change for message in place.messages] == ["created", *["credentials"] * 4]
    assert not place.credentials.verify("drain-1", secret)
    assert not place.credentials.has("drain-1")
    assert place.audit.list(AuditFilter()).items[0].action == "device.secret_revoked"


def test_only_who_may_change_a_device_takes_its_secret_away(place, registry):
    registry.create(device(department="water"), ADMIN)
    registry.set_credentials("drain-1", ADMIN)
    with pytest.raises(Denied):
        registry.revoke_credentials("drain-1", Principal(kind="user", id="u", name="u"))
    assert place.credentials.has("drain-1")


@pytest.mark.parametrize(
    ("changes", "code", "nearest"),
    [
        ({"adapter": "mqt"}, "device.adapter_unknown", "mqtt"),
        ({"adapter": "zigbee"}, "device.adapter_unknown", "http, mqtt"),
        ({"bindings": (star(DRAIN, "WaterLevelObservd"),)}, "device.type_unknown", "WaterLevelObserved"),
        (
            {"bindings": (Binding(DRAIN, "WaterLevelObserved", "level", "waterLevl"),)},
            "device.property_unknown",
            "waterLevel",
        ),
        (
            {"bindings": (Binding(DRAIN, "WaterLevelObserved", "waterLevl"),)},
            "device.property_unknown",
            "waterLevel",
        ),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_the_nearest(place, changes, code, nearest):
    registry = place.open(knows=Vocabulary.load(), adapters=frozenset(("http", "mqtt")))
    registry.create(device(bindings=(star(DRAIN),)), ADMIN)
    line = msgspec.json.encode({"id": "drain-2", "adapter": "mqtt", **changes})
    tries = (
        lambda: registry.create(device("drain-2", **changes), ADMIN),
        lambda: registry.change("drain-1", changes, ADMIN),
    )
    for attempt in tries:
        with pytest.raises(Invalid) as refused:
            attempt()
        assert (refused.value.code, refused.value.params["nearest"]) == (code, nearest)
    assert registry.bulk(line, "ndjson", ADMIN, dry_run=True).lines[0].code == code


def test_what_is_no_longer_known_stands_in_the_way_of_no_other_change(place):
    place.registry.create(device(adapter="gone", bindings=(star(DRAIN, "Gone"),)), ADMIN)
    registry = place.open(knows=Vocabulary.load(), adapters=frozenset(("mqtt",)))
    assert registry.change("drain-1", {"name": "new"}, ADMIN).name == "new"
    more = (star(DRAIN, "Gone"), star(PUMP, "Pump"))
    assert registry.change("drain-1", {"bindings": more}, ADMIN).bindings == more


def test_a_line_as_the_registry_shows_it_is_taken_and_what_it_says_of_presence_is_not(registry):
    registry.create(device(), ADMIN)
    line = b'{"id":"drain-1","name":"new","online":true,"last_seen_at":"x","created_at":"x","version":7,"mapping":null}'
    report = registry.bulk(line, "ndjson", ADMIN)
    known = registry.get_device("drain-1")
    assert (report.updated, known.name, known.online, known.version) == (1, "new", None, 2)


def test_whoever_keeps_answers_learns_what_has_changed(registry, monkeypatch):
    before = registry.generation
    assert registry.changed_since(before) == ()
    registry.create(device(), ADMIN)
    registry.create(device("drain-2"), ADMIN)
    middle = registry.generation
    registry.change("drain-1", {"name": "new"}, ADMIN)
    registry.delete("drain-2", ADMIN)
    assert registry.changed_since(before) == ("drain-1", "drain-2", "drain-1", "drain-2")
    assert registry.changed_since(middle) == ("drain-1", "drain-2")
    monkeypatch.setattr("gulou.connectivity.devices.index._KEPT_CHANGES", 1)
    assert registry.changed_since(middle) is None


def test_many_signs_of_life_at_once_are_as_good_as_one_by_one(registry, place):
    for number in range(3):
        registry.create(device(f"drain-{number}"), ADMIN)
    registry.seen("drain-0", 5)
    numbers = [registry.number_of(f"drain-{number}") for number in range(3)]
    registry.seen_many(np.array(numbers), np.array([3, 7, 9]))
    assert [registry.get_device(f"drain-{number}").last_seen_at_us for number in range(3)] == [5, 7, 9]
    assert place.said(DeviceConnected) == ["drain-0", "drain-1", "drain-2"]
    registry.seen_many(np.array(numbers), np.array([8, 8, 8]))
    assert len(place.said(DeviceConnected)) == 3
    registry.stop()
    assert place.open().get_device("drain-2").last_seen_at_us == 9


def test_last_words_are_written_down_a_part_at_each_tick(registry, place, monkeypatch):
    monkeypatch.setattr("gulou.connectivity.devices.presence._SLICE", 2)
    for number in range(5):
        registry.create(device(f"drain-{number}"), ADMIN)
    numbers = np.array([registry.number_of(f"drain-{number}") for number in range(5)])

    def written_after(seconds):
        place.clock.advance(seconds)
        registry.tick(place.clock.now_us())
        other = DeviceRegistry(place.database, place.clock, MemoryBus(), place.audit, place.credentials)
        return sorted(other.get_device(f"drain-{number}").last_seen_at_us or 0 for number in range(5))

    now_us = place.clock.now_us()
    registry.seen_many(numbers, np.full(5, now_us))
    assert written_after(0) == [now_us] * 5  # that they are there is told at once, and the last word with it
    for _ in range(3):
        written_after(1)
    later_us = place.clock.now_us() + SECOND_US
    registry.seen_many(numbers, np.full(5, later_us))
    assert [written_after(seconds).count(later_us) for seconds in (60, 1, 1)] == [2, 4, 5]


def test_a_number_is_not_given_again(registry):
    registry.create(device(), ADMIN)
    former = registry.number_of("drain-1")
    registry.delete("drain-1", ADMIN)
    assert registry.number_of("drain-1") is None
    registry.create(device(), ADMIN)
    assert registry.number_of("drain-1") != former
    registry.seen_many(np.array([former]), np.array([9]))
    assert registry.get_device("drain-1").online is None


def test_more_devices_than_the_arrays_hold_at_first(registry):
    lines = "".join(f'{{"id": "d-{number}", "adapter": "mqtt"}}\n' for number in range(1_500))
    registry.bulk(lines.encode(), "ndjson", ADMIN)
    registry.seen("d-1499", 8)
    registry.seen("d-0", 9)
    assert registry.get_device("d-1499").last_seen_at_us == 8
    assert registry.get_device("d-0").online is True
    assert registry.get_device("d-1").online is None
