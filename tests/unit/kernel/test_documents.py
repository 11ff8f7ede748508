import pytest

from gulou.kernel import Invalid
from gulou.kernel.documents import Document, problems_of


def problems(text):
    with pytest.raises(Invalid, match=r"document\.broken") as refused:
        Document.parse(text, "x.yaml")
    return [(problem.code, problem.line) for problem in problems_of(refused.value)]


def test_only_true_and_false_are_truth_values_and_times_stay_texts():
    data = Document.parse(
        "a: on\nb: no\nc: true\nd: 12:30\ne: 2024-01-31\nf: 0123\ng: '5'\nh: 1e3\ni: ~\nj: -4\non: k\n", "x.yaml"
    ).data
    assert data == {
        "a": "on",
        "b": "no",
        "c": True,
        "d": "12:30",
        "e": "2024-01-31",
        "f": "0123",
        "g": "5",
        "h": 1000.0,
        "i": None,
        "j": -4,
        "on": "k",
    }


def test_positions_of_keys_and_values():
    document = Document.parse("a:\n  - 1\n  - b:\n      c: 2\n", "x.yaml")
    assert document.position(("a", 1, "b", "c")) == (4, 10)
    assert document.key_position(("a", 1, "b")) == (3, 5)
    assert document.position(("a", 1, "nowhere", "at", "all")) == (3, 5)


def test_an_empty_document_is_none():
    assert Document.parse("", "x.yaml").data is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [("document.key_twice", 3)]),
        ("a: &x 1\nb: *x\n", [("document.alias", 2)]),
        ("a: 1\nb: !!python/object:os.system x\n", [("document.tag", 2)]),
        ("a: 1\nb: !local x\n", [("document.tag", 2)]),
        ("? [1, 2]\n: 3\n", [("document.key_unusable", 1)]),
        ("a: 1\n\tb: 2\n", [("document.not_yaml", 2)]),
        ("a: 1\n--- \nb: 2\n", [("document.not_yaml", 2)]),
    ],
)
def test_what_is_refused_and_where(text, expected):
    found = problems(text)
    assert [code for code, _ in found] == [code for code, _ in expected]
    assert found[0][1] in {expected[0][1], expected[0][1] - 1}


def test_every_problem_is_reported_not_only_the_first():
    assert len(problems("a: 1\na: 2\nb: !x 3\n")) == 2


def test_depth_and_length_are_bounded():
    assert problems("[" * 100 + "]" * 100)[0][0] == "document.too_deep"
    assert problems("x" * 1_000_001)[0][0] == "document.too_long"


def test_a_laughing_file_stays_small():
    text = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
    assert {code for code, _ in problems(text)} == {"document.alias"}
