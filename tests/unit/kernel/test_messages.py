from pathlib import Path

import pytest

import gulou.kernel
import gulou.vocabulary
from gulou.kernel import render
from gulou.kernel.messages import Catalogue, codes_in_source, find_gaps, load_catalogue


def test_places_are_filled_in_either_language():
    assert "pump-3" in render("id.malformed", {"id": "pump-3"})
    assert "pump-3" in render("id.malformed", {"id": "pump-3"}, "zh")
    assert render("id.malformed", {"id": "x"}, "zh") != render("id.malformed", {"id": "x"}, "en")


@pytest.mark.parametrize("language", ["zh-CN", "zh_Hans", "ZH"])
def test_a_language_tag_is_cut_to_its_language(language):
    assert render("id.malformed", {"id": "x"}, language) == render("id.malformed", {"id": "x"}, "zh")


def test_an_unknown_language_falls_back_to_english_and_an_unknown_code_to_itself():
    assert render("id.malformed", {"id": "x"}, "fr") == render("id.malformed", {"id": "x"}, "en")
    assert render("no.such_code", {"a": 1}) == "no.such_code"


def test_a_missing_parameter_leaves_its_place_visible():
    assert "{id}" in render("id.malformed", {})


def test_a_parameter_is_shown_as_it_is_and_never_filled_in_itself():
    catalogue = Catalogue({"a.b": {"en": "{x} {y}"}})
    assert catalogue.render("a.b", {"x": "{y}", "y": "{x.__class__}"}) == "{y} {x.__class__}"


def test_parameters_are_made_harmless():
    catalogue = Catalogue({"a.b": {"en": "<{x}>"}})
    shown = catalogue.render("a.b", {"x": "a\x1b[31m\n" + "z" * 1000})
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert len(shown) < 250
    assert catalogue.render("a.b", {"x": ["b", 1]}) == "<b, 1>"


@pytest.mark.parametrize("package", [gulou.kernel, gulou.vocabulary])
def test_every_code_of_these_packages_has_its_texts_and_parameters(package):
    root = Path(package.__file__).parent
    assert codes_in_source(root)
    assert find_gaps(root, load_catalogue()) == []


def test_the_scan_finds_codes_in_every_form(tmp_path):
    (tmp_path / "one.py").write_text(
        "raise Invalid('a.one', x=1)\n"
        "raise errors.NotFound('a.two' if late else 'a.three')\n"
        "Flaw('a.four', {'y': 2})\n"
        "self._reject(code='a.five')\n"
        "raise Invalid('a.six', **context)\n"
        "print('a.seven')\n"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("raise Invalid('a.eight')\n")
    found = {raised.code: raised.params for raised in codes_in_source(tmp_path)}
    assert found == {
        "a.one": frozenset({"x"}),
        "a.two": frozenset(),
        "a.three": frozenset(),
        "a.four": frozenset({"y"}),
        "a.five": None,
        "a.six": None,
    }


def test_gaps_name_the_language_and_the_parameter(tmp_path):
    (tmp_path / "one.py").write_text("raise Invalid('a.one', x=1)\nraise Invalid('a.two')\n")
    catalogue = Catalogue({"a.one": {"en": "{x} {y}", "zh": "{x}"}, "a.two": {"en": "two"}})
    gaps = {(gap.code, gap.lacks) for gap in find_gaps(tmp_path, catalogue)}
    assert gaps == {("a.one", "parameter y"), ("a.two", "language zh")}
    assert catalogue.missing_languages() == [("a.two", "zh")]
