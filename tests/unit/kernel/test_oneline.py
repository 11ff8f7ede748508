"""What the quick reader of one-line lists says must be what the YAML reader says; it may say nothing."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gulou.kernel.documents import Document, _plain_value, _walk
from gulou.kernel.errors import Invalid
from gulou.kernel.oneline import read_lines

RULE = (
    "  - {id: r-%d, kind: threshold, value: waterLevel, levels: {orange: 12.0, red: {at: 14, hold: 5m}}, n: -4.5e3,"
    ' "select": {type: WaterLevelObserved, id: "urn:ngsi-ld:W:s-1", where: siteCategory = \'drain\'}, off: [], x: ~,'
    " headline: {en: \"{name}: {value:.2f} m\", zh: '{name}水位{value:.2f}米'}, steps: [1, [true, on], {a: 08}],"
    " id2: urn:ngsi-ld:W:s-1}\n"
)


def agree(text):
    """Hold one reader against the other; return whether the quick one had something to say."""
    quick = read_lines(text, _plain_value)
    if quick is None:
        return False
    walk = _walk(text, "x.yaml")  # raises where the text is no YAML, which the quick one must not have read
    assert repr(quick[0]) == repr(walk.data)
    for key, places in quick[1].items():
        assert places == [walk.positions[key, index] for index in range(len(places))]
    return True


def test_a_list_of_rules_is_read_quickly_and_the_same():
    text = "# made by a program\nrules:\n" + "".join(RULE % number for number in range(3)) + "\n  # the end\n"
    assert agree(text)
    document = Document.parse(text, "x.yaml")
    assert document.data["rules"][2]["steps"] == [1, [True, "on"], {"a": "08"}]
    assert document.position(("rules", 1)) == (4, 5)
    assert document.position(("rules", 1, "levels", "red", "at")) == (4, (RULE % 1).index("14") + 1)
    assert document.key_position(("rules", 1, "select")) == (4, (RULE % 1).index('"select"') + 1)
    assert document.position(("rules", 7)) == document.position(("rules",)) == (3, 3)


@pytest.mark.parametrize(
    "item",
    [
        "{a: 1, a: 2}",
        "{a: *b}",
        "{a: &b 1}",
        "{a: !x 1}",
        "{<<: 1}",
        "{a: b # c}",
        "{a: b} # c",
        '{a: "\\n"}',
        "{a: 'it''s'}",
        "{a : 1}",
        '{"a":1}',
        "{a:1}",
        "{a: }",
        "{a: 1,}",
        "[a]",
        "{? a : b}",
        "{a: [b: c]}",
        "{a: b: c}",
        '{a: "b" c}',
        "{a: b",
        "{a: b}}",
        "{a: @b}",
        "{a: b\t}",
        "{a: \u2028}",
        "{a: b ? c}",
        "{" + "a: {" * 20 + "}" * 21,
        "{" + "a" * 2_000 + ": 1}",
    ],
)
def test_of_what_is_not_plain_it_says_nothing_or_the_same(item):
    text = f"rules:\n  - {item}\n"
    try:
        agree(text)
    except Invalid:
        pytest.fail("read what is no YAML")


@pytest.mark.parametrize(
    "text", ["", "rules:\n", "rules:\ntables:\n  - {a: 1}\n", "a: 1\n", "- {a: 1}\n", "---\na:\n- {}\n"]
)
def test_other_documents_are_left_to_yaml(text):
    assert read_lines(text, _plain_value) is None


def test_several_lists_and_their_indents():
    assert agree("a:\n- {x: 1}\n- {}\nb:\n    - {y: [1, 2]}\n\n    - {z: {}}\n")
    assert not agree("a:\n- {x: 1}\n  - {y: 1}\n")


def test_complaints_name_the_same_places_as_yaml():
    text = "rules:\n  - {id: a, b: 1}\n  - {id: a, id: b}\n"
    with pytest.raises(Invalid) as refused:
        Document.parse(text, "x.yaml")
    assert refused.value.params["problems"][0]["line"] == 3


_PIECES = [
    *("a", "b", "key", "0", "08", "1.5", "-1", "-", "true", "on", "null", "~", "é", "水位", "°", "…", "\u00ad", "😀"),
    *("{", "}", "[", "]", ",", ", ", ": ", ":", " ", "  ", "'", '"', "#", " #", "&", "*", "!", "|", ">", "%", "@"),
    *("?", "? ", "- ", "=", "<<", "<", "\\", "\\n", "\t", "''", '""', "a: ", ", b: ", "{a: ", "[1, ", "b}", "1]"),
    *("/", ";", "$", "`", "\ufeff", "---", "..."),
]


@settings(max_examples=1_500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=12))
@example(["a", " ", ":", "b"])
def test_whatever_the_pieces_the_readers_agree(pieces):
    agree("rules:\n  - {k: " + "".join(pieces) + "}\n")


@settings(max_examples=600, deadline=None)
@given(st.integers(0, len(RULE) - 2), st.lists(st.sampled_from(_PIECES), max_size=3), st.integers(0, 6))
def test_a_rule_changed_anywhere_is_read_alike(at, pieces, gone):
    agree("rules:\n" + RULE % 1 + RULE[:at] + "".join(pieces) + RULE[at + gone :])


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False), st.text(max_size=12)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=6), _values, max_size=4), min_size=1, max_size=3))
def test_what_json_writes_is_read_alike(items):
    agree("rules:\n" + "".join(f"  - {json.dumps(item, ensure_ascii=False)}\n" for item in items))


def test_numbers_are_what_yaml_makes_of_them():
    data = Document.parse("a:\n  - {a: .inf, b: 1e400, c: 0x1F, d: 1_000, e: +5, f: 12:30, g: 2024-01-31}\n", "x").data
    assert data == {
        "a": [{"a": math.inf, "b": math.inf, "c": "0x1F", "d": "1_000", "e": 5, "f": "12:30", "g": "2024-01-31"}]
    }
