import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.hub.context import from_normalized, parse_filter
from gulou.kernel.errors import Invalid

DRAIN = from_normalized({
    "id": "urn:ngsi-ld:Drain:1", "type": "Drain",
    "level": {"type": "Property", "value": 2.5, "unitCode": "m", "observedAt": "2025-03-01T08:00:00Z",
              "quality": {"type": "Property", "value": 0.9, "by": {"type": "Property", "value": "radar"}}},
    "flow": [{"type": "Property", "value": 1}, {"type": "Property", "value": 9, "datasetId": "urn:x:2"}],
    "name": {"type": "LanguageProperty", "languageMap": {"en": "North Bridge", "zh": "北桥"}},
    "status": {"type": "Property", "value": "open;(half)"}, "on": {"type": "Property", "value": True},
    "tags": {"type": "Property", "value": ["a", "b", 3]}, "zero": {"type": "Property", "value": 0},
    "address": {"type": "Property", "value": {"city": "Beijing", "geo": {"floor": 3}}},
    "installed": {"type": "Property", "value": "2016-08-22T10:18:16+08:00"},
    "cleaned": {"type": "Property", "value": {"@type": "DateTime", "@value": "2020-01-01T00:00:00Z"}},
    "ref": {"type": "Relationship", "object": "urn:ngsi-ld:District:d.1"},
    "refs": {"type": "Relationship", "object": ["urn:ngsi-ld:X:1", "urn:ngsi-ld:X:2"]},
})  # fmt: skip


def passes(text):
    return parse_filter(text).select([DRAIN]) == [DRAIN]


@pytest.mark.parametrize(
    "text",
    [
        "level",
        "level==2.5",
        "level>2",
        "level>=2.5",
        "level<3",
        "level<=2.5",
        "level!=3",
        "level==1..3",
        "level==2.5..2.5",
        "level==1,2.5,3",
        "level!=1,2",
        "level!=3..9",
        " level > 2 ; level < 3 ",
        "level==25e-1",
        "level>-1",
        "zero",
        "zero==0",
        "level==1|level==2.5",
        "level==9|level==2.5;flow==1",
        "(level==9|level==2.5);flow==1",
        "!missing",
        "!level.missing",
        "flow==1",
        "flow==9",
        "flow>5",
        'name=="North Bridge"',
        'name=="北桥"',
        'name[zh]=="北桥"',
        'name[*]=="北桥"',
        "name~=^North",
        'name~="Br.dge$"',
        "name!~=South",
        'name[en]~="(?i)north"',
        'status=="open;(half)"',
        'status~="\\\\(half\\\\)"',
        "on==true",
        "on!=false",
        'tags=="a"',
        "tags==3",
        'tags!="c"',
        "tags~=b",
        'address[city]=="Beijing"',
        "address[geo.floor]==3",
        "address[city]",
        "installed<2016-08-22T10:18:16Z",
        "installed==2016-08-22T02:18:16Z",
        "installed==2016-08-21..2016-08-23",
        "cleaned==2020-01-01T00:00:00Z",
        "cleaned>2019-12-31",
        "level.observedAt==2025-03-01T08:00:00Z",
        "level.observedAt>2025-03-01T07:59:59.9Z",
        'level.unitCode=="m"',
        "level.quality>0.8",
        'level.quality.by=="radar"',
        "flow.datasetId==urn:x:2",
        "ref==urn:ngsi-ld:District:d.1",
        'ref=="urn:ngsi-ld:District:d.1"',
        "refs==urn:ngsi-ld:X:2",
        "modifiedAt==1970-01-01T00:00:00Z",
        "((((level))))",
        'status=="x","open;(half)"',
    ],
)
def test_what_holds_passes(text):
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "!level",
        "level==3",
        "level!=2.5",
        "level>2.5",
        "level==3..4",
        "level==2..2.4",
        "level!=1..3",
        "level!=1,2.5",
        "missing!=1",
        "missing==1",
        "missing!~=x",
        'level=="2.5"',
        "level==true",
        "on==1",
        "on>0",
        'status=="open"',
        "status~=^half",
        'name[de]=="x"',
        'name[zh]=="North Bridge"',
        "name~=north",
        "name!~=Bridge",
        'tags=="c"',
        'tags!="a"',
        "address[zip]",
        "address[city.name]",
        "address==5",
        "installed>2016-08-22T02:18:16Z",
        "installed==2020..2021",
        'level.unitCode=="cm"',
        "level.quality.by.more",
        "level.observedAt.x",
        "level==9;level==2.5",
        "level==9|(level==2.5;flow==7)",
        "level.quality<0.5",
        "zero!=0",
        "ref==urn:ngsi-ld:District:d",
        "status>5",
        "address>5",
        'name[en]=="北桥"',
    ],
)
def test_what_does_not_hold_does_not_pass(text):
    assert not passes(text)


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("", "entity.q_unexpected", 1),
        ("   ", "entity.q_unexpected", 1),
        ("level==", "entity.q_unexpected", 8),
        ("level==1;", "entity.q_unexpected", 10),
        ("level==1 level", "entity.q_unexpected", 10),
        ("(level", "entity.q_unexpected", 7),
        ("level)", "entity.q_unexpected", 6),
        ("==5", "entity.q_unexpected", 1),
        ("level=5", "entity.q_unexpected", 6),
        ('level=="5', "entity.q_unexpected", 8),
        ("level==1..", "entity.q_unexpected", 11),
        ("level==1,", "entity.q_unexpected", 10),
        ("a[b==1", "entity.q_unexpected", 4),
        ("a..b==1", "entity.q_unexpected", 2),
        (".a==1", "entity.q_unexpected", 1),
        ("name~=(", "entity.q_unexpected", 7),
        ('x;name~="("', "entity.q_pattern", 9),
        ('name~="(?<=a)b"', "entity.q_pattern", 7),
        ("a>2025-13-01T00:00:00Z", "entity.q_time", 3),
        ("a>2025-01-01T00:00:00", "entity.q_time", 3),
        ("!!a", "entity.q_unexpected", 2),
        ("a==1,,2", "entity.q_unexpected", 6),
        ('"level"==1', "entity.q_unexpected", 1),
    ],
)
def test_an_error_says_where(text, code, position):
    with pytest.raises(Invalid) as caught:
        parse_filter(text)
    assert (caught.value.code, caught.value.params["position"]) == (code, position)


def test_long_and_deep_filters_are_refused():
    with pytest.raises(Invalid) as caught:
        parse_filter("a==" + "1" * 2000)
    assert caught.value.code == "entity.q_too_long"
    with pytest.raises(Invalid) as caught:
        parse_filter("(" * 100 + "a" + ")" * 100)
    assert caught.value.code == "entity.q_too_deep"


@given(st.text('ab01.,;|()[]!=<>~"\\ :-TZ水', max_size=40))
def test_any_text_is_a_filter_or_an_error_with_a_position(text):
    try:
        found = parse_filter(text).select([DRAIN])
    except Invalid as error:
        assert 1 <= error.params["position"] <= len(text) + 1
    else:
        assert found in ([], [DRAIN])


@given(st.floats(-5, 5), st.floats(-5, 5), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
def test_comparisons_are_those_of_numbers(value, wanted, operator):
    one = from_normalized({"id": "urn:x:y", "type": "T", "a": value})
    expected = {
        "==": value == wanted,
        "!=": value != wanted,
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
    }[operator]
    assert bool(parse_filter(f"a{operator}{wanted!r}").select([one])) is expected
