"""Loading: files as rows, each row exactly once, and rejects read again."""

from __future__ import annotations

import gzip
import json

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import Rejected, RejectPage
from gulou.kernel.clock import VirtualClock, from_rfc3339
from gulou.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from gulou.sensing.loading import LoadService, RejectReplayer, file_digest, read_chunks
from gulou.sensing.loading import files as files_module
from gulou.sensing.sdk import Mapping, MappingRegistry
from gulou.sensing.sdk.memory import MemoryDevices, MemoryIntake

LEVELS = """
mapping: levels
format: rows
entity: {type: WaterLevelObserved, id: "{site}"}
time: {column: t}
values: [{column: level, property: waterLevel}]
"""
CSV = "site,t,level\n" + "".join(f"s1,2026-07-01T08:{n:02}:00Z,{n}\n" for n in range(10))


class NoBook:
    def origin(self, origin):
        return None


@pytest.fixture
def mappings():
    registry = MappingRegistry()
    registry.replace("test", [Mapping.parse(LEVELS, "levels.yaml")])
    return registry


@pytest.fixture
def intake():
    return MemoryIntake()


@pytest.fixture
def service(intake, mappings):
    return LoadService(intake, mappings, NoBook(), VirtualClock(from_rfc3339("2026-07-02T00:00:00Z")), patience_s=0.2)


def rows(path):
    return [msgspec.json.decode(line) for chunk in read_chunks(path) for line in chunk.rows.split(b"\n")]


def written(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
def test_csv_rows_are_records_of_texts(tmp_path, name):
    assert rows(written(tmp_path, name, CSV.encode()))[1] == {"site": "s1", "t": "2026-07-01T08:01:00Z", "level": "1"}


def test_quotes_other_separators_and_a_byte_order_mark(tmp_path):
    assert rows(written(tmp_path, "a.csv", '\ufeff"a";"b"\r\n"1;5";"x ""y"""\r\n'.encode())) == [
        {"a": "1;5", "b": 'x "y"'}
    ]


def test_a_row_of_another_width_and_a_row_of_other_bytes_stay_rows(tmp_path):
    ragged, broken, good = rows(written(tmp_path, "a.csv", b"a,b\n1,2,3\n\xff,2\n1,2\n"))
    assert ragged == ["payload.cell_count", {"cells": 3, "columns": 2}, "1,2,3"]
    assert broken[0] == "payload.not_text"
    assert good == {"a": "1", "b": "2"}


def test_ndjson_geojson_and_parquet(tmp_path):
    assert rows(written(tmp_path, "a.ndjson", b'{"a":1}\n\nnot json\n[1]\n'))[0] == {"a": 1}
    assert [row[0] for row in rows(tmp_path / "a.ndjson")[1:]] == ["payload.malformed", "payload.malformed"]
    point = {"type": "Point", "coordinates": [116.4, 39.9]}
    feature = {"type": "Feature", "id": 7, "properties": {"a": 1}, "geometry": point}
    document = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
    assert rows(written(tmp_path, "a.geojson.gz", document)) == [{"id": 7, "a": 1, "geometry": point}]
    table = pa.table(
        {"t": pa.array([0], pa.timestamp("us", "UTC")), "v": [float("nan")], "n": pa.array([None], pa.int64())}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet") == [{"t": "1970-01-01T00:00:00Z", "v": "nan", "n": None}]


def test_chunks_know_their_rows_and_can_begin_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "CHUNK_ROWS", 4)
    path = written(tmp_path, "a.csv", CSV.encode())
    assert [(chunk.first_row, chunk.last_row) for chunk in read_chunks(path)] == [(1, 4), (5, 8), (9, 10)]
    assert [(chunk.first_row, chunk.last_row) for chunk in read_chunks(path, after_row=6)] == [(7, 10)]
    assert list(read_chunks(path, after_row=10)) == []


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.xlsx", b"", "load.format_unknown"),
        ("a.csv", b"a,a\n1,2\n", "load.header_unclear"),
        ("a.csv", b"", "load.header_unclear"),
        ("a.geojson", b"{}", "load.file_unreadable"),
        ("a.parquet", b"PAR1", "load.file_unreadable"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path, name, data, code):
    with pytest.raises(Invalid) as caught:
        rows(written(tmp_path, name, data))
    assert caught.value.code == code


def test_a_cut_off_archive_and_a_missing_file_say_so(tmp_path):
    path = written(tmp_path, "a.csv.gz", CSV.encode() * 100)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Invalid, match=r"load\.file_unreadable"):
        rows(path)
    with pytest.raises(NotFound, match=r"load\.file_missing"):
        rows(tmp_path / "none.csv")
    with pytest.raises(NotFound, match=r"load\.file_missing"):
        file_digest(tmp_path / "none.csv")


def lines(*records):
    return b"\n".join(msgspec.json.encode(record) for record in records)


def row(minute, level="1", site="s1"):
    return {"site": site, "t": f"2026-07-01T08:{minute:02}:00Z", "level": level}


def test_a_chunk_is_taken_once_and_an_overlap_only_beyond(service, intake):
    first = service.take("levels", origin="f", position=2, first_row=1, rows=lines(row(0), row(1)), file_name="a.csv")
    again = service.take("levels", origin="f", position=2, first_row=1, rows=lines(row(0), row(1)))
    overlap = service.take("levels", origin="f", position=3, first_row=2, rows=lines(row(1), row(2)))
    assert (first.stored, again.repeated, again.stored, overlap.stored) == (2, True, 0, 1)
    assert [reading.observed_at_us for reading in intake.readings] == sorted(
        {one.observed_at_us for one in intake.readings}
    )
    assert intake.submissions[0].source == "load:levels"
    assert intake.submissions[0].payloads[1].address == "a.csv:2"


def test_a_gap_is_refused(service):
    with pytest.raises(Conflict, match=r"load\.gap"):
        service.take("levels", origin="f", position=9, first_row=9, rows=lines(row(0)))


def test_the_same_file_by_another_mapping_is_another_load(service, mappings, intake):
    mappings.replace("more", [Mapping.parse(LEVELS.replace("mapping: levels", "mapping: other"), "o.yaml")])
    service.take("levels", origin="f", position=1, rows=lines(row(0)))
    assert not service.take("other", origin="f", position=1, rows=lines(row(1))).repeated


def test_a_doubled_row_is_rejected_value_by_value(service, intake):
    receipt = service.take("levels", origin="f", position=3, rows=lines(row(0), row(1), row(0)))
    assert (receipt.received, receipt.stored, receipt.rejected) == (3, 2, 1)
    later = service.take("levels", origin="f", position=4, first_row=4, rows=lines(row(1)))
    assert (later.stored, later.rejected) == (0, 1)
    assert intake.codes() == ["reading.duplicate", "reading.duplicate"]


def test_rows_that_could_not_be_split_are_rejected_with_their_text(service, intake):
    ragged = ["payload.cell_count", {"cells": 3, "columns": 2}, "1,2,3"]
    receipt = service.take("levels", origin="f", position=3, rows=lines(ragged, row(0)) + b"\n{broken")
    assert (receipt.stored, receipt.rejected) == (1, 2)
    assert intake.codes() == ["payload.cell_count", "payload.malformed"]
    assert intake.rejected[0][0].raw == b"1,2,3"


def test_when_the_intake_is_full_nothing_is_taken_and_the_same_chunk_goes_later(service, intake):
    intake.unavailable = Unavailable("intake.full", waiting=1, limit=1)
    with pytest.raises(Unavailable):
        service.take("levels", origin="f", position=2, rows=lines(row(0), row(1)))
    intake.unavailable = None
    receipt = service.take("levels", origin="f", position=2, rows=lines(row(0), row(1)))
    assert (receipt.stored, receipt.rejected) == (2, 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"position": 2}, "load.rows_miscounted"),
        ({"first_row": 0}, "load.rows_miscounted"),
        ({"origin": "a b"}, "load.origin_malformed"),
        ({"origin": ""}, "load.origin_malformed"),
    ],
)
def test_wrong_calls_are_explained(service, change, code):
    call = {"origin": "f", "position": 1, "first_row": 1, "rows": lines(row(0)), **change}
    with pytest.raises(Invalid) as caught:
        service.take("levels", **call)
    assert caught.value.code == code


class Rejects:
    def __init__(self, *rejects):
        self.all = {one.id: one for one in rejects}

    def get_rejected(self, reject_id):
        if reject_id not in self.all:
            raise NotFound("intake.reject_unknown", id=reject_id)
        return self.all[reject_id]

    def list_rejected(self, query):
        found = tuple(one for one in self.all.values() if query.code in (None, one.code))
        return RejectPage(found, len(found), None)


def reject(number, raw, where, **more):
    given = {"source": "load:levels", "adapter": "load/1", "mapping": "levels", "device_id": None, "address": "a.csv:1"}
    return Rejected(
        id=f"1-{number}", received_at_us=5, raw=raw, code="x.y", params={}, where=where, **{**given, **more}
    )


def replayer(mappings, intake, *rejects):
    devices = MemoryDevices()
    devices.add(Device(id="d1", name="d1", adapter="mqtt", bindings=(Binding("urn:ngsi-ld:T:1", "T"),)))
    return RejectReplayer(Rejects(*rejects), mappings, intake, devices)


def test_a_reject_is_read_again_by_its_mended_mapping(mappings, intake):
    raw = msgspec.json.encode(row(0, level="1,373.5"))
    mended = LEVELS.replace("property: waterLevel", 'property: waterLevel, thousands: ","')
    replay = replayer(mappings, intake, reject(0, raw, "level"))
    assert replay.replay(["1-0"]).rejected == 1
    mappings.replace("test", [Mapping.parse(mended, "levels.yaml")])
    result = replay.replay(["1-0"])
    assert (result.replayed, result.stored, result.rejected) == (1, 1, 0)
    assert intake.readings[0].value == 1373.5
    assert (intake.submissions[-1].source, intake.submissions[-1].replay_of) == ("replay:load:levels", ("1-0",))


def test_only_the_refused_part_is_read_again(mappings, intake):
    two = LEVELS.replace("values: [", "values: [{column: flow, property: flow}, ")
    mappings.replace("test", [Mapping.parse(two, "levels.yaml")])
    raw = msgspec.json.encode({**row(0), "flow": "7"})
    by_column = reject(0, raw, "level")
    by_series = reject(1, raw, "urn:ngsi-ld:WaterLevelObserved:s1 flow", address="b.csv:1")
    whole = reject(2, raw, "", address="c.csv:1")
    assert replayer(mappings, intake, by_column).replay(["1-0"]).stored == 1
    assert [one.property for one in intake.readings] == ["waterLevel"]
    assert replayer(mappings, intake, by_series).replay(["1-1"]).stored == 1
    assert replayer(mappings, intake, whole).replay(["1-2"]).received == 2


def test_two_rejects_of_one_payload_are_read_once(mappings, intake):
    raw = msgspec.json.encode(row(0))
    result = replayer(mappings, intake, reject(0, raw, "level"), reject(1, raw, "")).replay(["1-0", "1-1"])
    assert (result.replayed, result.received) == (2, 1)


CBOR = b"\x81\xa2\x00\x65level\x02\xf9\x41\x00"


@pytest.mark.parametrize("raw", [b'{"level": 2.5}', b"m level=2.5", b'[{"n":"level","v":2.5}]', CBOR])
def test_native_payloads_of_devices_are_read_again(mappings, intake, raw):
    native = {"mapping": None, "device_id": "d1", "source": "mqtt", "adapter": "mqtt/1"}
    one = reject(0, raw, "", address="gulou/d1/readings", **native)
    assert replayer(mappings, intake, one).replay(["1-0"]).stored == 1
    assert (intake.readings[0].value, intake.readings[0].observed_at_us) == (2.5, 5)


def test_rows_of_programs_are_read_again(mappings, intake):
    raw = b'{"entity":"urn:ngsi-ld:T:1","property":"p","value":1,"observedAt":"2026-07-01T08:00:00Z"}'
    one = reject(0, raw, "", mapping=None, source="http", adapter="http/1", address="/ingest/v1/readings")
    assert replayer(mappings, intake, one).replay_matching(query=_query()).stored == 1


def _query():
    from gulou.connectivity.intake import RejectQuery

    return RejectQuery()


def test_unknown_ids_and_mappings_are_refused(mappings, intake):
    replay = replayer(mappings, intake, reject(0, b"{}", ""))
    with pytest.raises(NotFound, match=r"intake\.reject_unknown"):
        replay.replay(["9-9"])
    with pytest.raises(NotFound, match=r"mapping\.unknown"):
        replay.replay(["1-0"], mapping="none")
