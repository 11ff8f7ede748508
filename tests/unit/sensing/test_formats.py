"""SenML and line protocol: the standards' own examples, edges, and bytes that are nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.formats import (
    looks_like_senml,
    parse_lines,
    resolve,
    senml_from_cbor,
    senml_from_json,
    split_lines,
    ucum_of,
)

DATA = Path(os.environ.get("GULOU_CITY_DATA", Path(__file__).parents[4] / "shared" / "data"))
NOW_US = 1_800_000_000_000_000


def resolved(records):
    return resolve(records, NOW_US)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "protocols").is_dir(), reason="city data not there: protocols")
class TestRfc8428Examples:
    def pack(self, name):
        raw = (DATA / "protocols" / name).read_bytes()
        return resolved((senml_from_cbor if name.endswith("cbor") else senml_from_json)(raw))

    def test_a_single_point(self):
        (one,) = self.pack("senml_ex1.gen.json")
        assert (one.name, one.unit, one.value, one.at_us) == ("urn:dev:ow:10e2073a01080063", "Cel", 23.1, NOW_US)

    def test_multiple_points_with_base_time_and_base_unit(self):
        pack = self.pack("senml_ex3.gen.json")
        assert (pack[0].name, pack[0].unit, pack[0].value) == ("urn:dev:ow:10e2073a0108006:voltage", "V", 120.1)
        assert [one.unit for one in pack[1:]] == ["A"] * 6
        assert pack[1].at_us == 1276020076001000 - 5_000_000
        assert pack[6].at_us == 1276020076001000

    def test_cbor_says_the_same_as_json(self):
        plain, packed = self.pack("senml_ex3.gen.json"), self.pack("senml_ex3.gen.cbor")
        assert [(one.name, one.unit, one.at_us) for one in plain] == [(one.name, one.unit, one.at_us) for one in packed]
        assert [one.value for one in packed] == pytest.approx([one.value for one in plain], rel=1e-3)

    def test_a_series_of_humidity(self):
        pack = self.pack("senml_ex4.gen.json")
        assert len(pack) == 12
        assert {(one.name, one.unit) for one in pack} == {("urn:dev:ow:10e2073a01080063", "%RH")}
        assert pack[-1].at_us - pack[0].at_us == 92_000_000

    def test_several_devices_in_one_pack(self):
        names = [one.name for one in self.pack("senml_ex6.gen.json")]
        assert names == [
            "2001:db8::2/temperature",
            "2001:db8::2/humidity",
            "2001:db8::1/temperature",
            "2001:db8::1/humidity",
        ]

    def test_texts_truths_and_data(self):
        values = [one.value for one in self.pack("senml_ex7.gen.json")]
        assert values == [23.1, "Machine Room", False, b"hi \n"]

    @pytest.mark.parametrize("name", ["senml_ex9.gen.json", "senml_ex11.gen.json", "senml_ex13.gen.json"])
    def test_the_other_examples_resolve(self, name):
        assert len(self.pack(name)) >= 2


def test_relative_times_count_from_arrival():
    assert resolved([{"n": "a", "t": -5, "v": 1}])[0].at_us == NOW_US - 5_000_000


def test_base_value_and_base_sum_are_added():
    first, second = resolved([{"bn": "m:", "bv": 10, "bs": 100, "n": "a", "v": 1}, {"n": "b", "s": 5}])
    assert (first.value, second.value, second.sum) == (11, None, 105)


def test_base_only_records_make_nothing():
    assert [one.name for one in resolved([{"bn": "d:"}, {"n": "t", "v": 1}])] == ["d:t"]


@pytest.mark.parametrize(
    "records",
    [
        [{"n": "a", "v": 1, "vs": "b"}],
        [{"v": 1}],
        [{"n": "-a", "v": 1}],
        [{"n": "a", "v": "1"}],
        [{"n": "a", "v": True}],
        [{"n": "a", "vb": 1}],
        [{"n": "a", "vs": 1}],
        [{"n": "a", "vd": "!"}],
        [{"n": "a", "v": 1, "t": "now"}],
        [{"n": "a", "v": 1, "t": 1e300}],
        [{"n": "a", "v": 1, "bver": 11}],
        [{"n": "a", "v": 1, "new_": 1}],
        [{"n": "a", "v": 1, "u": 5}],
        [{"n": 5, "v": 1}],
    ],
)
def test_packs_against_the_rules_are_refused(records):
    with pytest.raises(Invalid, match=r"payload\.malformed"):
        resolved(records)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"[1]", b"[", b"\xff", b"[[[[[[", b"null"])
def test_json_that_is_no_pack(raw):
    with pytest.raises(Invalid, match=r"payload\.malformed"):
        senml_from_json(raw)


@given(st.binary(max_size=100))
def test_no_cbor_bytes_raise_anything_else(raw):
    try:
        resolved(senml_from_cbor(raw))
    except Invalid as error:
        assert error.code.startswith("payload.")


@given(
    st.lists(
        st.fixed_dictionaries(
            {"n": st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), "v": st.floats(-1e9, 1e9)},
            optional={"u": st.sampled_from(["Cel", "%RH", "/"]), "t": st.integers(2**28, 2**33)},
        ),
        min_size=1,
        max_size=20,
    )
)
def test_json_and_cbor_agree(records):
    labels = {"n": 0, "u": 1, "v": 2, "t": 6}
    packed = cbor2.dumps([{labels[key]: value for key, value in record.items()} for record in records])
    assert resolved(senml_from_cbor(packed)) == resolved(senml_from_json(json.dumps(records).encode()))


def test_units_become_ucum_and_percent_is_no_percentage():
    assert [ucum_of(unit) for unit in ("Cel", "%RH", "%", "/", "/100", "lat", "unknown", None)] == [
        "Cel",
        "%",
        "1",
        "1",
        "%",
        "deg",
        "unknown",
        None,
    ]


def test_senml_is_told_from_channel_values():
    assert looks_like_senml([{"bn": "d:", "n": "t", "v": 1}])
    assert not looks_like_senml([{"level": 1}])
    assert not looks_like_senml([{"n": 1, "v": 2}])
    assert not looks_like_senml([])
    assert not looks_like_senml({"n": "t", "v": 1})


def points(text, precision="ns"):
    return [point for _, point in parse_lines(text.encode(), precision)]


def test_a_point_with_everything():
    fields = 'temperature=82,wet=f,note="a \\"b\\", c=d",n=3i,u=4u'
    (point,) = points(f"weather,location=us-midwest,season=summer {fields} 1465839830100400200")
    assert (point.measurement, point.tags) == ("weather", {"location": "us-midwest", "season": "summer"})
    assert point.fields == {"temperature": 82.0, "wet": False, "note": 'a "b", c=d', "n": 3, "u": 4}
    assert point.time_ns == 1465839830100400200


def test_escapes_of_names():
    (point,) = points(r"wea\,ther\ x,loc\=a=us\ mid\,west temp\ c=1")
    assert (point.measurement, point.tags, point.fields) == ("wea,ther x", {"loc=a": "us mid,west"}, {"temp c": 1.0})


def test_comments_empty_lines_and_line_feeds_in_texts():
    assert [point.fields for point in points('# no\n\nm a=1\r\nm b="x\ny"\n')] == [{"a": 1.0}, {"b": "x\ny"}]


@pytest.mark.parametrize(("precision", "factor"), [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)])
def test_precisions(precision, factor):
    assert points("m a=1 7", precision)[0].time_ns == 7 * factor


def test_an_unknown_precision_is_refused():
    with pytest.raises(Invalid, match=r"payload\.precision_unknown"):
        points("m a=1", "h")


@pytest.mark.parametrize(
    "line",
    ["m", "m ", "m a", "m a=", "m =1", "m a=nan", "m a=1 soon", "m a=1x", ",t=1 a=1", "m,t a=1", "m a=1e999"],
)
def test_wrong_lines_yield_their_error_and_the_others_go_on(line):
    wrong, right = points(f"{line}\nm b=2")
    assert wrong.code == "payload.malformed"
    assert right.fields == {"b": 2.0}


def test_a_quote_that_is_not_closed_takes_the_rest_with_it():
    right, wrong = points('m b=2\nm a="x\nm c=3')
    assert right.fields == {"b": 2.0}
    assert wrong.code == "payload.malformed"


@given(st.binary(max_size=300))
def test_no_line_bytes_raise(raw):
    list(parse_lines(raw))


@given(st.lists(st.from_regex(r"m[a-z]* [a-z]+=[0-9]{1,5}i", fullmatch=True), max_size=10))
def test_lines_are_cut_where_they_end(lines):
    assert list(split_lines("\n".join(lines).encode())) == [line.encode() for line in lines]
