"""Columns and objects say the same: bodies are read both ways, compiled and plain, before and after names are known."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import reading_at
from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.http.columns import line as line_kernels
from gulou.sensing.adapters.http.columns import reader as reader_module
from gulou.sensing.adapters.http.columns import rows as row_kernels
from gulou.sensing.adapters.http.columns import trie as trie_kernels
from gulou.sensing.adapters.http.reading import BodyReader, Sender
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.sdk.columns import numbers, table, times
from gulou.sensing.sdk.memory import MemoryDevices, MemoryIntake
from gulou.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load()
BLANKS = b" " * 600 + b"\n"
"""Makes a body long enough for the quick way."""
BUSY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Feed:
    """A program that may write weather and nothing else."""

    id = "feed"

    def may(self, action, department=None, entity_type=None):
        return entity_type != "WaterLevelObserved"


class House:
    """Two readers of the same devices: one by columns, one by objects."""

    def __init__(self):
        self.intake, self.devices = MemoryIntake(), MemoryDevices()
        weather, level = "urn:ngsi-ld:WeatherObserved:roof", "urn:ngsi-ld:WaterLevelObserved:roof"
        bindings = (
            Binding(weather, "WeatherObserved", "t", "temperature", "[degF]"),
            Binding(weather, "WeatherObserved", "temperature"),
            Binding(weather, "WeatherObserved", "say", "name"),
            Binding(level, "WaterLevelObserved", "*"),
        )
        self.devices.add(Device(id="box", name="box", adapter="http", bindings=bindings), "secret")
        now = {"clock": Still()}
        self.quick = BodyReader(AdapterContext(self.intake, self.devices, self.devices, vocabulary=VOCABULARY, **now))
        self.general = BodyReader(AdapterContext(self.intake, self.devices, self.devices, **now))

    def agree(self, body, kind, sender):
        """Read twice by columns and once by objects; all three say the same, in the same order."""
        wanted = self.outcome(self.general, body, kind, sender)
        first = self.outcome(self.quick, body, kind, sender)
        assert first == wanted
        assert self.outcome(self.quick, body, kind, sender) == wanted
        assert self.parts(body, kind, sender) is not None

    def outcome(self, reader, body, kind, sender):
        told, flaws = [], []
        reach = 0
        for part in reader.parts(body, kind, sender, None, "us"):
            assert part.reach > reach
            reach = part.reach
            for row in range(0 if part.columns is None else len(part.columns)):
                told.append(checked(reading_at(part.columns, row, self.intake.series), part.raw_of(row)))
            for payload in part.payloads:
                told += [checked(reading, payload) for reading in payload.readings]
                flaws += [(flaw.code, flaw.params, flaw.where, payload.raw) for flaw in payload.flaws]
        return told, flaws, reach

    def parts(self, body, kind, sender):
        return list(self.quick.parts(body, kind, sender, None, "us"))


class Still:
    def now_us(self):
        return 1_782_892_800_000_000


def checked(reading, payload):
    """A reading as the intake would keep or refuse it."""
    place = (reading.entity_id, reading.entity_type, reading.property, reading.observed_at_us)
    more = (reading.dataset_id, reading.device_id, reading.kind, payload.raw, payload.address, payload.device_id)
    try:
        value = VOCABULARY.check(reading.entity_type, reading.property, reading.value, reading.unit_code)
    except Invalid as error:
        return place, more, error.code
    return place, more, repr(value)


PLAIN = {
    line_kernels: ("end_of_line", "read_time", "end_of_value", "expected", "step", "parse_number"),
    row_kernels: (
        "past_space",
        "end_of_text",
        "past_value",
        "key_of",
        "read_row",
        "read_object",
        "step",
        "parse_number",
        "parse_rfc3339",
    ),
    trie_kernels: ("find_key",),
    reader_module: ("read_lines", "read_json_items"),
    numbers: ("_product", "_scaled"),
    table: ("hash_bytes", "_read_32", "_slot_of"),
    times: ("_digits", "_days"),
}


@pytest.fixture(params=["compiled", "plain"])
def house(request, monkeypatch):
    if request.param == "plain":
        for module, names in PLAIN.items():
            for name in names:
                function = getattr(module, name)
                monkeypatch.setattr(module, name, getattr(function, "py_func", function))
    return House()


DEVICE, PROGRAM = Sender("box", None), Sender(None, Feed())
number = st.one_of(
    st.sampled_from(
        ["0", "-0", "-0.0", "1.5", "20", "1e2", "-3.25E-2", "007", "1.", ".5", "+4", "99999", "1e400", "0x1"]
    ),
    st.floats(-60, 60).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
)
moment_us = st.one_of(st.just(1_782_892_800_000_000), st.integers(-(2**64), 2**64), st.integers(0, 2**52))

# --- line protocol ---------------------------------------------------------------------------------------------------

head = st.sampled_from(
    [
        "WeatherObserved,entity=roof",
        "WeatherObserved,entity=urn:ngsi-ld:WeatherObserved:yard,site=a",
        "WeatherObserved,entity=鼓楼",
        "WaterLevelObserved,entity=roof",
        "Nothing,entity=roof",
        "WeatherObserved",
        "WeatherObserved,entity=a\\ b",
        "WeatherObserved,entity=",
        'WeatherObserved,entity="q',
        "m",
    ]
)
field = st.tuples(
    st.sampled_from(["temperature", "windSpeed", "relativeHumidity", "name", "none", "t", "waterLevel", "a\\,b", ""]),
    st.one_of(
        number,
        number.map(lambda text: text + "i"),
        number.map(lambda text: text + "u"),
        st.sampled_from(["true", "f", '"a\nb"', '"x"', '"open', "", '"a\\"b"']),
    ),
).map("=".join)
time_text = st.one_of(
    moment_us.map(lambda us: f" {us}"),
    st.sampled_from(["", " ", "  5", " 5 ", " -5", " 1.5", " soon", " 99999999999999999999"]),
)
one_line = st.tuples(
    st.sampled_from(["", "", "", "", " ", "\t"]),
    head,
    st.just(" "),
    st.lists(field, min_size=1, max_size=3).map(",".join),
    time_text,
).map("".join)
good_line = st.tuples(
    st.sampled_from(["WeatherObserved,entity=roof", "WeatherObserved,entity=yard"]),
    st.sampled_from([" temperature=", " windSpeed=3,temperature=", " t="]),
    st.floats(-40, 40).map(repr),
    moment_us.map(lambda us: f" {us}"),
).map("".join)
any_line = st.one_of(
    good_line, good_line, good_line, one_line, st.sampled_from(["", "# comment", '# "', "x", '"', "\\"])
)
lines = st.tuples(
    st.lists(any_line, max_size=30),
    st.sampled_from(["\n", "\n", "\r\n", "\n\n"]),
    st.integers(-1, 3000),
    st.binary(max_size=1),
)


def text_of(made):
    parts, between, where, byte = made
    return spoilt(between.join(parts).encode() + BLANKS, where, byte)


def spoilt(body, where, byte):
    """Put a byte in, or take one out."""
    return body if where < 0 else body[:where] + byte + body[where + (not byte) :]


@BUSY
@given(lines.map(text_of))
def test_lines_of_a_program(house, body):
    house.agree(body, "text/plain", PROGRAM)


@BUSY
@given(lines.map(text_of))
def test_lines_of_a_device(house, body):
    house.agree(body, "text/plain", DEVICE)


# --- JSON ------------------------------------------------------------------------------------------------------------

rfc3339 = st.one_of(
    st.sampled_from(
        [
            "2026-07-01T08:00:00Z",
            "2026-07-01T08:00:00.25+08:00",
            "2026-07-01 08:00:00.123456-03:30",
            "2026-02-29T00:00:00Z",
            "2026-07-01T08:00:00",
            "2026-07-01",
            "soon",
            "",
            "0001-01-01T00:00:00+14:00",
            "2026-07-01T24:00:00Z",
        ]
    ),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)
scalar = st.one_of(
    number, st.sampled_from(["null", "true", '"on"', '"5"', "[]", '{"type":"Point","coordinates":[1,2]}', "nul"])
)
quoted = st.sampled_from(['"%s"', '"%s"', '"%s"', '"%s"', '"%s\\n"', "%s"])


def pair(name, value):
    return st.tuples(st.just(f'"{name}"'), value).map(list)


def texts(*choices):
    return st.sampled_from(choices).map(json.dumps)


row_pairs = st.tuples(
    pair(
        "entity",
        texts("urn:ngsi-ld:WeatherObserved:roof", "urn:ngsi-ld:WaterLevelObserved:roof", "roof", "鼓楼", "", "urn:x"),
    ),
    pair("property", texts("temperature", "windSpeed", "name", "waterLevel", "none", "t\n")),
    pair("value", scalar),
    pair("observedAt", rfc3339.map(json.dumps)),
    st.one_of(st.none(), pair("type", texts("WeatherObserved", "Nothing", "")), pair("type", st.just("null"))),
    st.one_of(st.none(), pair("unit", texts("Cel", "[degF]", "K", "m", "zzz"))),
    st.one_of(
        st.none(),
        st.none(),
        pair("dataset", texts("urn:d:1")),
        pair("value", st.just("3")),
        pair("colour", st.just("1")),
    ),
)
good_row = st.tuples(
    pair("entity", texts("urn:ngsi-ld:WeatherObserved:roof", "urn:ngsi-ld:WeatherObserved:yard")),
    pair("property", texts("temperature", "windSpeed")),
    pair("value", st.floats(0, 40).map(repr)),
    pair("observedAt", st.datetimes().map(lambda moment: json.dumps(moment.isoformat() + "Z"))),
    st.one_of(st.none(), pair("type", texts("WeatherObserved"))),
)
good_object = st.tuples(
    pair("t", st.floats(-40, 40).map(repr)),
    pair("waterLevel", st.floats(0, 4).map(repr)),
    st.one_of(st.none(), pair("observedAt", rfc3339.map(json.dumps))),
)
any_object = st.lists(
    st.one_of(
        pair("t", scalar),
        pair("temperature", scalar),
        pair("say", scalar),
        pair("waterLevel", scalar),
        pair("none", scalar),
        pair("n", texts("waterLevel")),
        pair("v", number),
        pair("observedAt", st.one_of(rfc3339.map(json.dumps), st.sampled_from(["null", "5"]))),
    ),
    max_size=4,
)
space = st.sampled_from(["", "", "", " ", "\t", "\r", "  "])


@st.composite
def written(draw, pairs):
    """An object's text: pairs in any order, white space in any place."""
    present = draw(st.permutations([one for one in draw(pairs) if one is not None]))
    gap = draw(space)
    return "{" + gap + f"{gap},{gap}".join(f"{key}{gap}:{gap}{value}" for key, value in present) + gap + "}"


junk = st.sampled_from(["5", "null", '"x"', "[]", "{}", "{", '{"a":', '{"a":{"b":"}"}}'])
rows = st.lists(st.one_of(written(good_row), written(good_row), written(row_pairs), junk), max_size=12)
objects = st.lists(st.one_of(written(good_object), written(good_object), written(any_object), junk), max_size=12)
damage = st.tuples(st.one_of(st.just(-1), st.integers(0, 2500)), st.binary(max_size=1))


@BUSY
@given(rows, damage)
def test_ndjson_rows(house, items, harm):
    house.agree(spoilt("\n".join(items).encode() + b"\n" + BLANKS, *harm), "application/x-ndjson", PROGRAM)


@BUSY
@given(objects, damage)
def test_ndjson_objects(house, items, harm):
    house.agree(spoilt("\n".join(items).encode() + b"\n" + BLANKS, *harm), "application/x-ndjson", DEVICE)


@BUSY
@given(rows, damage)
def test_lists_of_rows(house, items, harm):
    house.agree(spoilt(("[" + " ,\n".join(items) + "]").encode() + BLANKS, *harm), "application/json", PROGRAM)


@BUSY
@given(objects, damage)
def test_lists_of_objects(house, items, harm):
    house.agree(spoilt(("[" + ",".join(items) + "]").encode() + BLANKS, *harm), "application/json", DEVICE)
