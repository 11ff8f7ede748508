"""Mappings: what they read, what they refuse, and how a broken one is explained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel.clock import from_rfc3339, to_rfc3339
from gulou.kernel.documents import problems_of
from gulou.kernel.errors import Conflict, Invalid, NotFound
from gulou.sensing.sdk import Mapping, MappingRegistry, ReadContext
from gulou.sensing.sdk.mapping import number_reader

NOW_US = from_rfc3339("2026-07-01T08:00:00Z")
CONTEXT = ReadContext(NOW_US)

AIR = """
mapping: air
format: rows
missing: ["", "NA"]
entity: {type: AirQualityObserved, id: "prsa-{station|slug}"}
time: {columns: [year, month, day, hour], zone: Asia/Shanghai}
values:
  - {column: PM2.5, property: pm25, unit: ug/m3}
  - {column: TEMP, property: temperature, unit: Cel, entity: {type: WeatherObserved, id: "w-{station}"}}
  - {column: wd, property: windDirection, unit: deg, translate: {N: 0, NNE: 22.5}}
"""
ROW = {
    "year": "2013",
    "month": "3",
    "day": "1",
    "hour": "0",
    "PM2.5": "4",
    "TEMP": "-0.7",
    "wd": "NNE",
    "station": "Ao",
}


def simple(extra="", value="{column: v, property: level}", time="{column: t}"):
    return Mapping.parse(
        f"""
mapping: simple
format: rows
entity: {{type: WaterLevelObserved, id: "{{id}}"}}
time: {time}
values:
  - {value}
{extra}
""",
        "simple.yaml",
    )


def read(mapping, **row):
    return mapping.read_row({"id": "d1", "t": "2026-07-01T08:00:00Z", "v": "1", **row}, b"raw", "file:1", CONTEXT)


def codes(payload):
    return [flaw.code for flaw in payload.flaws]


def values(payload):
    return [reading.value for reading in payload.readings]


def test_a_row_becomes_readings_of_several_entities():
    payload = Mapping.parse(AIR, "air.yaml").read_row(ROW, b"row", "air.csv:1", CONTEXT)
    assert [(one.entity_id, one.property, one.value, one.unit_code) for one in payload.readings] == [
        ("urn:ngsi-ld:AirQualityObserved:prsa-ao", "pm25", 4, "ug/m3"),
        ("urn:ngsi-ld:WeatherObserved:w-Ao", "temperature", -0.7, "Cel"),
        ("urn:ngsi-ld:AirQualityObserved:prsa-ao", "windDirection", 22.5, "deg"),
    ]
    assert {to_rfc3339(one.observed_at_us) for one in payload.readings} == {"2013-02-28T16:00:00Z"}
    assert (payload.raw, payload.address, payload.flaws) == (b"row", "air.csv:1", ())


def test_missing_cells_make_neither_reading_nor_flaw():
    payload = Mapping.parse(AIR, "air.yaml").read_row({**ROW, "PM2.5": "NA", "TEMP": "", "wd": None}, b"", "a", CONTEXT)
    assert (payload.readings, payload.flaws) == ((), ())


def test_what_is_not_in_a_translation_is_a_flaw_that_names_type_and_property():
    payload = Mapping.parse(AIR, "air.yaml").read_row({**ROW, "wd": "UP"}, b"", "a", CONTEXT)
    flaw = payload.flaws[0]
    assert (flaw.code, flaw.where) == ("reading.not_in_list", "wd")
    assert (flaw.params["type"], flaw.params["property"]) == ("AirQualityObserved", "windDirection")
    assert len(payload.readings) == 2


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("-0.7", -0.7), (".5", 0.5), ("1e3", 1000.0), ("+7", 7), (" 3 ", 3), ("007", 7)]
)
def test_plain_numbers_are_read(text, value):
    assert number_reader()(text) == value


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "1_000", "12 kg", "٣", "１２", "0x10", "1e999", "--1", "1.2.3", "", "x" * 99]
)
def test_what_only_looks_like_a_number_is_refused(text):
    with pytest.raises(Invalid, match=r"reading\.not_a_number"):
        number_reader()(text)


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}, float("nan"), float("inf"), 10**400])
def test_other_json_values_are_no_numbers(value):
    with pytest.raises(Invalid, match=r"reading\.not_a_number"):
        number_reader()(value)


@pytest.mark.parametrize("text", ["1,373.51", "1,373", "12,345,678.9", "1.373,51", "1 373"])
def test_thousands_separators_are_refused_unless_declared(text):
    with pytest.raises(Invalid, match=r"reading\.thousands_separator"):
        number_reader()(text)


def test_declared_thousands_separators_are_read_and_misplaced_ones_refused():
    mapping = simple(value='{column: v, property: level, thousands: ","}')
    assert values(read(mapping, v="1,373.51")) == [1373.51]
    assert values(read(mapping, v="598.12")) == [598.12]
    assert codes(read(mapping, v="13,73")) == ["reading.thousands_separator"]


def test_a_decimal_comma_is_read_where_declared():
    mapping = simple(value='{column: v, property: level, decimal: ",", thousands: "."}')
    assert values(read(mapping, v="1.373,51")) == [1373.51]
    assert codes(read(mapping, v="1.5")) == ["reading.thousands_separator"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_its_own_text(number):
    assert number_reader()(repr(number)) == number


@pytest.mark.parametrize(
    ("time", "cell", "at"),
    [
        ("{column: t}", "2021-07-24T21:30:00+0000", "2021-07-24T21:30:00Z"),
        ("{column: t, zone: Europe/Copenhagen}", "2014-08-01 07:50:00", "2014-08-01T05:50:00Z"),
        ("{column: t, zone: Europe/Copenhagen}", "2014-08-01T07:50:00Z", "2014-08-01T07:50:00Z"),
        ('{column: t, format: "%d-%m-%Y %H:%M", zone: Asia/Shanghai}', "01-03-2013 08:00", "2013-03-01T00:00:00Z"),
        ('{template: "{d} {t}", zone: Asia/Shanghai}', "08:00:00", "2013-03-01T00:00:00Z"),
        ("{column: t, unit: s}", "1627164051", "2021-07-24T22:00:51Z"),
        ("{column: t, unit: s}", 1627164051.5, "2021-07-24T22:00:51.500000Z"),
        ("{column: t, unit: ms}", 1627164051000, "2021-07-24T22:00:51Z"),
        ("{column: t, unit: ns}", 1627164051000000000, "2021-07-24T22:00:51Z"),
        ("received", "", "2026-07-01T08:00:00Z"),
        ("{column: t, otherwise: received}", "", "2026-07-01T08:00:00Z"),
    ],
)
def test_times_are_read(time, cell, at):
    payload = read(simple(time=time), t=cell, d="2013-03-01")
    assert [to_rfc3339(one.observed_at_us) for one in payload.readings] == [at]


@pytest.mark.parametrize(
    ("time", "cell", "code"),
    [
        ("{column: t}", "2014-08-01 07:50:00", "time.zone_missing"),
        ("{column: t}", "2014-08-01", "time.unreadable"),
        ("{column: t}", "yesterday", "time.unreadable"),
        ("{column: t}", 1627164051, "time.unreadable"),
        ("{column: t}", "", "mapping.field_missing"),
        ("{column: t, zone: Europe/Copenhagen}", "2014-10-26 02:30:00", "time.ambiguous"),
        ("{column: t, zone: Europe/Copenhagen}", "2014-03-30 02:30:00", "time.nonexistent"),
        ("{columns: [y, m, t], zone: Asia/Shanghai}", "31", "time.unreadable"),
        ("{columns: [y, m, t], zone: Asia/Shanghai}", "one", "time.unreadable"),
        ("{column: t, unit: s}", "soon", "time.unreadable"),
        ("{column: t, unit: s}", "1e300", "time.unreadable"),
        ("{column: t, unit: s}", "1e12", "time.unreadable"),
    ],
)
def test_times_that_are_not_certain_refuse_the_whole_row_once(time, cell, code):
    payload = read(simple(time=time), t=cell, y="2013", m="2")
    assert (codes(payload), payload.readings) == ([code], ())


def test_counted_time_goes_by_elapsed_seconds_through_a_clock_change():
    mapping = simple(time='{start: "2012-03-11T01:00:00", step: 3600, zone: America/Los_Angeles}')
    row = {"id": "d1", "v": 1}
    times = [mapping.read_row(row, b"", "a", ReadContext(NOW_US, row=n)).readings[0].observed_at_us for n in range(3)]
    assert [to_rfc3339(one) for one in times] == [f"2012-03-11T{hour:02}:00:00Z" for hour in (9, 10, 11)]
    assert mapping.counts_time


def test_wide_tables_have_an_entity_per_column():
    mapping = Mapping.parse(
        """
mapping: wide
format: rows
time: {start: "2012-03-01T00:00:00", step: 300, zone: UTC}
wide:
  columns: "[0-9]+"
  except: ["3"]
  entity: {type: TrafficFlowObserved, id: "la-{column}"}
  property: averageVehicleSpeed
  unit: "[mi_i]/h"
  missing: ["0"]
""",
        "wide.yaml",
    )
    row = {"1": "64.5", "2": "0", "3": "1", "note": "x", "4": "fast"}
    payload = mapping.read_row(row, b"", "a", ReadContext(NOW_US, row=1))
    assert [(one.entity_id, one.value) for one in payload.readings] == [("urn:ngsi-ld:TrafficFlowObserved:la-1", 64.5)]
    assert [(flaw.code, flaw.where) for flaw in payload.flaws] == [("reading.not_a_number", "4")]


def test_conditions_skip_reject_and_flag():
    mapping = simple(
        """
skip: [{when: "id == 'heading'"}]
reject:
  - {when: "starts_with(id, 'Z. ')", reason: source.test_sensor}
  - {when: "to_number(v) > to_number(most)", reason: source.implausible, properties: [level]}
flag: [{when: "status != 'OK'", flag: source.status_not_ok}]
"""
    )
    assert read(mapping, id="heading").flaws == ()
    assert codes(read(mapping, id="Z. Test", status="OK")) == ["source.test_sensor"]
    assert codes(read(mapping, v="5", most="4", status="OK")) == ["source.implausible"]
    assert read(mapping, status="?").readings[0].flags == ("source.status_not_ok",)
    assert read(mapping, status="OK").readings[0].flags == ()


def test_a_condition_that_cannot_be_judged_is_a_flaw_not_a_guess():
    mapping = simple("reject: [{when: \"starts_with(absent, 'Z')\", reason: source.test_sensor}]")
    assert codes(read(mapping)) == ["mapping.expression_failed"]


def test_units_come_from_the_row_by_a_table():
    mapping = simple(value='{column: v, property: level, unit: "{u}", units: {ft: "[ft_i]"}}')
    assert read(mapping, u="ft").readings[0].unit_code == "[ft_i]"
    assert codes(read(mapping, u="cubits")) == ["reading.unit_unknown"]


def test_a_long_table_names_its_property_in_the_row():
    mapping = simple(value='{column: v, property: "{what}", rename: {temp: temperature}}')
    assert read(mapping, what="temp").readings[0].property == "temperature"
    assert codes(read(mapping, what="colour")) == ["reading.property_unknown"]


def test_values_are_computed_scaled_and_typed():
    assert values(read(simple(value='{compute: [total, "-", v], property: level}'), total="65")) == [64]
    assert codes(read(simple(value='{compute: [v, "/", 0], property: level}'))) == ["reading.not_a_number"]
    assert values(read(simple(value="{column: v, property: level, scale: 0.5, offset: 1}"), v="4")) == [3.0]
    assert values(read(simple(value="{column: v, property: level, as: text}"), v="on")) == ["on"]
    assert values(read(simple(value="{column: v, property: level, as: bool}"), v="TRUE")) == [True]
    assert codes(read(simple(value="{column: v, property: level, as: bool}"), v="perhaps")) == [
        "reading.not_a_truth_value"
    ]
    assert values(read(simple(value="{column: v, property: level, as: json}"), v={"a": 1})) == [{"a": 1}]
    assert values(read(simple(value='{column: v, property: level, missing: ["-999"]}'), v=-999)) == []


def test_a_location_is_a_point_in_wgs84():
    mapping = simple("location: {longitude: lon, latitude: lat}")
    place = read(mapping, lon="116.4", lat="39.9").readings[0]
    assert (place.property, place.kind, place.value) == (
        "location",
        "GeoProperty",
        {"type": "Point", "coordinates": [116.4, 39.9]},
    )
    assert codes(read(mapping, lon="216.4", lat="39.9")) == ["reading.not_a_geometry"]
    assert len(read(mapping).readings) == 1


def test_a_shifted_datum_is_converted():
    mapping = simple("location: {longitude: lon, latitude: lat, datum: gcj02}")
    lon, lat = read(mapping, lon="116.403963", lat="39.915119").readings[0].value["coordinates"]
    assert (lon, lat) == (pytest.approx(116.39772, abs=1e-4), pytest.approx(39.91371, abs=1e-4))


def test_json_lists_inside_a_document_with_its_heading():
    mapping = Mapping.parse(
        """
mapping: lamps
format: json
match: ["lamps/+post/state"]
each: readings
keep: {at: meta.at}
entity: {type: Streetlight, id: "{post}"}
time: {column: at}
values:
  - {path: "power.level", property: illuminanceLevel, scale: 0.01}
""",
        "lamps.yaml",
    )
    raw = b'{"meta": {"at": "2026-07-01T08:00:00Z"}, "readings": [{"power": {"level": 50}}, {"power": {"level": "x"}}]}'
    payload = mapping.read(raw, "lamps/p7/state", ReadContext(NOW_US, "lamp-7", {"post": "p7"}))
    assert [(one.entity_id, one.value, one.device_id) for one in payload.readings] == [
        ("urn:ngsi-ld:Streetlight:p7", 0.5, "lamp-7")
    ]
    assert [(flaw.code, flaw.where) for flaw in payload.flaws] == [("reading.not_a_number", "[1].power.level")]
    assert codes(mapping.read(b"{}", "lamps/p7/state", CONTEXT)) == ["mapping.field_missing"]
    assert codes(mapping.read(b"\xff{", "lamps/p7/state", CONTEXT)) == ["payload.malformed"]


@pytest.mark.parametrize(
    ("format_", "raw"),
    [
        (
            "ndjson",
            b'{"id": "a", "t": "2026-07-01T08:00:00Z", "v": 1}\n\n{"id": "b", "t": "2026-07-01T08:00:00Z", "v": 2}',
        ),
        ("csv", b"id,t,v\r\na,2026-07-01T08:00:00Z,1\r\nb,2026-07-01T08:00:00Z,2\r\n"),
    ],
)
def test_messages_of_rows(format_, raw):
    mapping = Mapping.parse(
        f"""
mapping: rows-in-a-message
format: {format_}
entity: {{type: T, id: "{{id}}"}}
time: {{column: t}}
values: [{{column: v, property: p}}]
""",
        "x.yaml",
    )
    assert values(mapping.read(raw, "a", CONTEXT)) == [1, 2]


def test_line_protocol_and_senml_are_tables_too():
    line = Mapping.parse(
        'mapping: l\nformat: line\nentity: {type: T, id: "{host}"}\ntime: {column: time, unit: ns}\n'
        "values: [{column: level, property: p}]",
        "l.yaml",
    )
    assert values(line.read(b"m,host=a level=2.5 1627164051000000000", "a", CONTEXT)) == [2.5]
    senml = Mapping.parse(
        'mapping: s\nformat: senml\nentity: {type: T, id: "x"}\ntime: {column: t, unit: s}\n'
        'values: [{column: v, property: "{n}", rename: {"dev:temp": temperature}}]',
        "s.yaml",
    )
    assert values(senml.read(b'[{"bn":"dev:","n":"temp","v":2.5,"t":1627164051}]', "a", CONTEXT)) == [2.5]


@given(st.binary(max_size=200))
@pytest.mark.parametrize("format_", ["json", "ndjson", "csv", "senml", "senml-cbor", "line", "rows"])
def test_no_bytes_ever_raise(format_, raw):
    mapping = Mapping.parse(
        f'mapping: any\nformat: {format_}\nentity: {{type: T, id: "{{id}}"}}\ntime: received\n'
        "values: [{column: v, property: p}]",
        "any.yaml",
    )
    mapping.read(raw, "a", CONTEXT)


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (("unit: ug/m3", "unti: ug/m3"), "mapping.unknown_key", 8),
        (("unit: ug/m3", "units: ug/m3"), "mapping.value_wrong", 8),
        (("property: pm25, ", ""), "mapping.key_missing", 8),
        (("Asia/Shanghai", "Asia/Peking"), "mapping.value_wrong", 6),
        (("{station|slug}", "{station|slugs}"), "mapping.value_wrong", 5),
        (("format: rows", "format: excel"), "mapping.value_wrong", 3),
        (("mapping: air", "mapping: Air Quality"), "mapping.value_wrong", 2),
        (("column: PM2.5", 'path: "PM2.5["'), "mapping.value_wrong", 8),
    ],
)
def test_a_broken_mapping_is_refused_with_file_and_line(change, code, line):
    with pytest.raises(Invalid) as caught:
        Mapping.parse(AIR.replace(*change), "packs/air/air.mapping.yaml")
    problem = problems_of(caught.value)[0]
    assert (problem.code, problem.file, problem.line) == (code, "packs/air/air.mapping.yaml", line)


def test_a_mistyped_key_names_the_nearest():
    with pytest.raises(Invalid) as caught:
        Mapping.parse(AIR.replace("values:", "valves:"), "air.yaml")
    assert problems_of(caught.value)[0].params["nearest"] == "values"


def write(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.mapping.yaml").write_text(text, "utf-8")


def test_a_registry_takes_a_pack_whole_or_not_at_all(tmp_path):
    registry = MappingRegistry()
    write(tmp_path, "air", AIR)
    registry.load_directory(tmp_path, "air")
    write(tmp_path, "broken", "mapping: broken")
    with pytest.raises(Invalid) as caught:
        registry.load_directory(tmp_path, "air")
    assert problems_of(caught.value)[0].file.endswith("broken.mapping.yaml")
    assert registry.names() == ["air"]
    registry.remove("air")
    assert registry.names() == []
    with pytest.raises(NotFound, match=r"mapping\.unknown"):
        registry.get("air")


def test_two_packs_cannot_have_one_name():
    registry = MappingRegistry()
    registry.replace("one", [Mapping.parse(AIR, "a.yaml")])
    with pytest.raises(Conflict, match=r"mapping\.name_taken"):
        registry.replace("two", [Mapping.parse(AIR, "b.yaml")])
    registry.replace("one", [Mapping.parse(AIR, "a.yaml")])


def test_a_topic_finds_its_mapping_and_captures():
    registry = MappingRegistry()
    text = AIR.replace("format: rows", 'format: json\nmatch: ["city/+station/air"]')
    registry.replace("air", [Mapping.parse(text, "a.yaml")])
    mapping, captures = registry.find_topic("city/s1/air")
    assert (mapping.name, captures) == ("air", {"station": "s1"})
    assert registry.find_topic("city/s1/noise") is None
    registry.remove("air")
    assert registry.find_topic("city/s1/air") is None


def test_numbers_beyond_all_bounds_are_flaws_and_no_crash():
    mapping = simple(value="{column: v, property: level, scale: 1.5}")
    assert codes(read(mapping, v=10**400)) == ["reading.not_a_number"]
    assert codes(read(simple(value='{compute: [v, "*", v], property: level}'), v=1e308)) == ["reading.not_a_number"]
