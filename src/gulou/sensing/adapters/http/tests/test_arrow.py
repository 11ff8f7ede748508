"""Arrow over HTTP: the same as the same rows in JSON; what is no sound table is refused and costs little."""

from __future__ import annotations

import json
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel.clock import to_rfc3339
from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.http.columns import arrow
from gulou.sensing.adapters.http.tests.test_two_ways import BLANKS, BUSY, DEVICE, PLAIN, PROGRAM, House

STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
ROOF, YARD = "urn:ngsi-ld:WeatherObserved:roof", "urn:ngsi-ld:WeatherObserved:yard"
AT_US = 1_782_892_800_000_000


def written(table, *, file=False, compression=None, batches=1):
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=max(-(-table.num_rows // batches), 1))
    return sink.getvalue().to_pybytes()


@pytest.fixture(params=["compiled", "plain"])
def house(request, monkeypatch):
    if request.param == "plain":
        for module, names in {**PLAIN, arrow: ("walk_texts", "step")}.items():
            for name in names:
                function = getattr(module, name)
                monkeypatch.setattr(module, name, getattr(function, "py_func", function))
    return House()


def ndjson(records):
    lines = [json.dumps(one, ensure_ascii=False) for one in records]
    return "\n".join(lines).encode() + b"\n" + BLANKS


entity = st.sampled_from([ROOF, ROOF, YARD, "urn:ngsi-ld:WaterLevelObserved:roof", "roof", "鼓楼", "urn:x", None])
name = st.sampled_from(["temperature", "temperature", "windSpeed", "waterLevel", "name", "none", None])
value = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.floats(-40, 40))
moment = st.one_of(st.none(), st.integers(0, 10**9).map(lambda seconds: AT_US + seconds * 1_000_000))
row = st.tuples(
    entity,
    name,
    value,
    moment,
    st.sampled_from([None, "WeatherObserved"]),
    st.sampled_from([None, None, "Cel", "[degF]", "m"]),
)
text = st.sampled_from(
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.string())]
)
timestamp = st.sampled_from([pa.int64(), *(pa.timestamp(unit, "Asia/Shanghai") for unit in ("s", "ms", "us", "ns"))])
wrapping = st.fixed_dictionaries(
    {"file": st.booleans(), "compression": st.sampled_from([None, "zstd", "lz4"]), "batches": st.integers(1, 3)}
)


channel = st.sampled_from(["t", "temperature", "waterLevel", "say", "none"])


def in_unit(at_us, kind):
    if at_us is None or kind == pa.int64():
        return at_us
    return at_us * 1_000 if kind.unit == "ns" else at_us // {"s": 1_000_000, "ms": 1_000, "us": 1}[kind.unit]


def without_nulls(record):
    return {key: one for key, one in record.items() if one is not None}


@BUSY
@given(st.lists(row, max_size=12), text, timestamp, wrapping, st.booleans())
def test_long_tables_of_a_program(house, rows, texts, time, wrap, units):
    names = ["entity", "property", "value", "observedAt", "type", "unit"]
    columns = list(zip(*rows, strict=True)) or [()] * 6
    arrays = [pa.array([] if place in (2, 3) else column, texts) for place, column in enumerate(columns)]
    arrays[2] = pa.array(columns[2], pa.float64())
    arrays[3] = pa.array([in_unit(one, time) for one in columns[3]], time)
    kept = names if units else names[:4]
    table = pa.table(dict(zip(kept, arrays, strict=False)))
    records = [dict(zip(kept, one, strict=False)) for one in rows if one[2] is not None]
    for record in records:
        record["observedAt"] = None if record["observedAt"] is None else to_rfc3339(record["observedAt"])
    wanted = house.outcome(house.general, ndjson(map(without_nulls, records)), "application/x-ndjson", PROGRAM)
    body = written(table, **wrap)
    for _ in range(2):
        assert house.outcome(house.quick, body, FILE, PROGRAM)[:2] == wanted[:2]


@BUSY
@given(st.lists(st.tuples(entity, value, value, moment), max_size=12), text, timestamp, wrapping)
def test_wide_tables_of_a_program(house, rows, texts, time, wrap):
    entities, first, second, moments = list(zip(*rows, strict=True)) or [()] * 4
    table = pa.table(
        {
            "observedAt": pa.array([in_unit(one, time) for one in moments], time),
            "temperature": pa.array(first, pa.float64()),
            "entity": pa.array(entities, texts),
            "windSpeed": pa.array(second, pa.float64()),
        }
    )
    records = [
        without_nulls({"entity": who, "property": name, "value": one, "observedAt": at and to_rfc3339(at)})
        for who, temperature, speed, at in rows
        for name, one in (("temperature", temperature), ("windSpeed", speed))
        if one is not None
    ]
    wanted = house.outcome(house.general, ndjson(records), "application/x-ndjson", PROGRAM)
    told, flaws, _ = house.outcome(house.quick, written(table, **wrap), STREAM, PROGRAM)
    assert [(one[0], one[2]) for one in told] == [(one[0], one[2]) for one in wanted[0]]
    assert [flaw[:3] for flaw in flaws] == [flaw[:3] for flaw in wanted[1]]


@BUSY
@given(
    st.lists(st.tuples(st.sampled_from(["t", "temperature", "waterLevel", "say", "none"]), value, moment), max_size=12),
    text,
)
def test_long_tables_of_a_device(house, rows, texts):
    columns = list(zip(*rows, strict=True)) or [()] * 3
    table = pa.table(
        {
            "channel": pa.array(columns[0], texts),
            "value": pa.array(columns[1], pa.float64()),
            "observedAt": pa.array(columns[2], pa.timestamp("us", "UTC")),
        }
    )
    records = [
        without_nulls({name: one, "observedAt": at and to_rfc3339(at)}) for name, one, at in rows if one is not None
    ]
    wanted = house.outcome(house.general, ndjson(records), "application/x-ndjson", DEVICE)
    for _ in range(2):
        assert house.outcome(house.quick, written(table), STREAM, DEVICE)[:2] == wanted[:2]


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.int64(), pa.float32(), pa.float16(), pa.bool_(), pa.string()]
)
def test_values_of_every_type(house, kind):
    plain = {pa.bool_(): [True, None], pa.string(): ["5", None]}.get(kind, [5, None])
    values = pa.array([np.float16(5), None], kind) if kind == pa.float16() else pa.array(plain, kind)
    table = pa.table({"temperature": values, "name": pa.array(["a", "b"]), "waterLevel": pa.nulls(2)})
    told, flaws, _ = house.outcome(house.quick, written(table), STREAM, DEVICE)
    wanted = "reading.not_a_number" if kind in (pa.bool_(), pa.string()) else "5.0"
    assert [(place[2], kept) for place, _, kept in told] == [("temperature", wanted), ("name", "'a'"), ("name", "'b'")]
    assert flaws == []


GOOD = {"entity": [ROOF], "property": ["temperature"], "value": [5.0], "observedAt": pa.array([AT_US], pa.int64())}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"observedAt": pa.array([AT_US], pa.timestamp("us"))}, "payload.malformed"),
        ({"observedAt": pa.array([1.5])}, "payload.malformed"),
        ({"entity": pa.array([7])}, "payload.malformed"),
        ({"value": pa.array([b"x"])}, "payload.malformed"),
        ({"colour": pa.array(["x"])}, "payload.unknown_key"),
        ({"observedAt": None}, "payload.field_missing"),
        ({"entity": None}, "payload.field_missing"),
    ],
)
def test_a_wrong_schema_is_one_reject(change, code):
    table = pa.table({key: one for key, one in {**GOOD, **change}.items() if one is not None})
    told, flaws, reach = House().outcome(House().quick, written(table), STREAM, PROGRAM)
    assert (told, [flaw[0] for flaw in flaws], reach) == ([], [code], 1)


def test_geometries_and_texts_go_as_objects_between_numbers():
    point = pa.array([None, {"type": "Point", "coordinates": [116.4, 39.9]}, None])
    table = pa.table(
        {**{key: [*one, *one, *one] for key, one in GOOD.items() if key in ("entity",)}, "location": point}
    )
    table = table.append_column("observedAt", pa.array([AT_US, AT_US + 1, AT_US + 2], pa.int64()))
    table = table.append_column("temperature", pa.array([1.0, 2.0, 3.0]))
    house = House()
    told, flaws, _ = house.outcome(house.quick, written(table), STREAM, PROGRAM)
    assert [place[2:] for place, _, _ in told] == [
        ("temperature", AT_US),
        ("location", AT_US + 1),
        ("temperature", AT_US + 1),
        ("temperature", AT_US + 2),
    ]
    assert flaws == []
    ways = [part.columns is None for part in house.parts(written(table), STREAM, PROGRAM)]
    assert ways == [False, True, False]


def test_a_dataset_goes_as_an_object():
    table = pa.table({**GOOD, "dataset": ["urn:ngsi-ld:Dataset:b"]})
    house = House()
    parts = list(house.quick.parts(written(table), STREAM, PROGRAM, None, "ns"))
    assert [reading.dataset_id for part in parts for payload in part.payloads for reading in payload.readings] == [
        "urn:ngsi-ld:Dataset:b"
    ]


def test_a_decompression_bomb_is_refused_before_it_is_unpacked():
    table = pa.table({**{key: pa.array(list(one) * 400_000) for key, one in GOOD.items() if key != "observedAt"}})
    table = table.append_column("observedAt", pa.array([AT_US] * 400_000, pa.int64()))
    body = written(table, compression="zstd")
    assert len(body) < 4_000_000
    with pytest.raises(Invalid) as refused:
        arrow.read_batches(body, 16_777_216)
    assert refused.value.code == "http.body_too_large"


def test_a_buffer_that_lies_about_its_length_is_refused():
    body = bytearray(written(pa.table(GOOD), compression="zstd"))
    frame = body.find(b"\x28\xb5\x2f\xfd")
    body[frame - 8 : frame] = struct.pack("<q", 2**50)
    with pytest.raises(Invalid) as refused:
        arrow.read_batches(bytes(body), 16_777_216)
    assert refused.value.code == "http.body_too_large"


@BUSY
@given(st.data())
def test_damaged_bytes_end_in_a_refusal_or_in_readings(house, data):
    table = pa.table({**GOOD, "unit": pa.array(["Cel"]).dictionary_encode()})
    body = bytearray(
        written(table, file=data.draw(st.booleans()), compression=data.draw(st.sampled_from([None, "lz4"])))
    )
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        told, flaws, _ = house.outcome(house.quick, body, STREAM, PROGRAM)
    except Invalid as error:
        assert error.code == "http.body_too_large"
    else:
        assert len(told) + len(flaws) <= len(GOOD) + 1
