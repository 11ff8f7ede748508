"""A pack's folder: taken whole, or refused with every problem named by file, line, column and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from gulou.kernel.documents import Problem, problems_of
from gulou.kernel.errors import Invalid
from gulou.kernel.messages import render
from gulou.packs import load_pack
from gulou.vocabulary import Vocabulary


@pytest.fixture
def problems(write):
    """Write a pack and return what is wrong with it; fails when nothing is."""

    def find(texts: dict[str, str], prepare=lambda root: None) -> list[Problem]:
        root = write(texts)
        prepare(root)
        with pytest.raises(Invalid) as caught:
            load_pack(root, Vocabulary.load())
        assert caught.value.code == "document.broken"
        return problems_of(caught.value)

    return find


BERTH = """\
type: Berth
label: {en: Berth, zh: 泊位}
description: {en: Where a ship lies, zh: 船舶停靠处}
main: depth
properties:
  depth: {label: {en: Depth, zh: 深度}, kind: measured, unit: m, range: [0, 50]}
"""


def where(found: list[Problem]) -> list[tuple[str, str, int, int]]:
    return [(one.code, one.file, one.line, one.column) for one in found]


def test_a_good_pack_is_read_whole(write, files) -> None:
    root = write(files)

    pack = load_pack(root, Vocabulary.load())

    assert (pack.manifest.name, pack.manifest.version) == ("harbour", "1.0.0")
    assert pack.manifest.title == {"en": "Harbour", "zh": "港口"}
    assert pack.types == ("WaterLevelObserved",)
    assert [rule.id for rule in pack.rules.rules] == ["harbour/high-level"]
    assert [mapping.name for mapping in pack.mappings] == ["harbour-levels"]
    assert [story.name for story in pack.stories] == ["tide"]


def test_a_manifest_alone_is_a_pack(write, files) -> None:
    pack = load_pack(write({"pack.yaml": files["pack.yaml"]}), Vocabulary.load())

    assert (pack.types, pack.rules.rules, pack.mappings, pack.stories) == ((), (), (), ())


def test_a_folder_without_manifest_is_refused(problems, files) -> None:
    del files["pack.yaml"]

    assert where(problems(files)) == [("pack.no_manifest", "pack.yaml", 0, 0)]


GOOD = "pack: harbour\nversion: 1.0.0\ntitle: {en: H}\n"
MANIFESTS = [
    ("version: 1.0.0\ntitle: {en: H}\npack: Harbour\n", ("pack.bad_name", 3, 7)),
    ("version: 1.0.0\ntitle: {en: H}\npack: dock\n", ("pack.other_folder", 3, 7)),
    ("pack: harbour\ntitle: {en: H}\nversion: 1.0\n", ("pack.bad_version", 3, 10)),
    ("pack: harbour\nversion: v1\ntitle: {en: H}\n", ("pack.bad_version", 2, 10)),
    ("pack: harbour\nversion: 1.0.0\ntitle: {en: H}\ngulou: '99.0'\n", ("pack.needs_newer", 4, 8)),
    ("pack: harbour\nversion: 1.0.0\ntitle: {en: H}\ngulou: new\n", ("pack.bad_version", 4, 8)),
    ("pack: harbour\nversion: 1.0.0\ntitle: Harbour\n", ("document.wrong_kind", 3, 8)),
    ("pack: harbour\nversion: 1.0.0\ntitle: {zh: 港口}\n", ("document.wrong_kind", 3, 8)),
    ("pack: harbour\nversion: 1.0.0\n", ("document.missing_key", 1, 1)),
    ("pack: harbour\nversion: 1.0.0\ntitle: {en: H}\nlicense: MIT\n", ("document.unknown_key", 4, 10)),
    ("pack: harbour\nversion: 1.0.0\ntitle: {en: H\n", ("document.not_yaml", 4, 1)),
    ("- pack\n", ("document.missing_key", 1, 1)),
    (GOOD + "retention: 30\n", ("document.wrong_kind", 4, 12)),
    (GOOD + "retention: {Berth: 0}\n", ("pack.retention_days", 4, 20)),
    (GOOD + "retention: {Berth: true}\n", ("pack.retention_days", 4, 20)),
    (GOOD + "retention: {Berth: 30}\n", ("pack.retention_type", 4, 20)),
]


@pytest.mark.parametrize(("text", "expected"), MANIFESTS, ids=[code for _, (code, _, _) in MANIFESTS])
def test_a_wrong_manifest_names_its_line_and_column(problems, text: str, expected: tuple[str, int, int]) -> None:
    first = problems({"pack.yaml": text})[0]

    assert (first.code, first.line, first.column) == expected
    assert first.file == "pack.yaml"


def test_a_pack_says_how_long_its_own_types_are_kept_and_no_others(write, problems, files) -> None:
    files["vocabulary/berth.yaml"] = BERTH
    files["pack.yaml"] += "retention: {Berth: 30}\n"
    assert load_pack(write(files), Vocabulary.load()).manifest.retention == {"Berth": 30}

    files["pack.yaml"] = files["pack.yaml"].replace("Berth: 30", "Berht: 30, WaterLevelObserved: 30")  # that it extends
    assert [(one.code, one.params["nearest"]) for one in problems(files)] == [
        ("pack.retention_type", "Berth"),
        ("pack.retention_type", "-"),
    ]


def test_an_unknown_manifest_key_names_the_nearest(problems, files) -> None:
    files["pack.yaml"] += "license: MIT\n"

    assert problems(files)[0].params["nearest"] == "licence"


def test_the_problems_of_all_parts_are_found_at_once(problems, files) -> None:
    files["pack.yaml"] = files["pack.yaml"].replace("1.0.0", "one")
    files["rules/level.yaml"] = files["rules/level.yaml"].replace("value: waterLevel", "value: waterLevle")
    files["sources/levels.mapping.yaml"] += "surprise: 1\n"
    files["vocabulary/level.yaml"] = files["vocabulary/level.yaml"].replace("measured", "guessed")
    files["cases/tide/story.yaml"] = files["cases/tide/story.yaml"].replace("at: 10s", "at: soon")

    found = problems(files)

    assert sorted({one.file for one in found}) == sorted(files)
    assert all(one.line > 0 for one in found)


def test_a_rule_s_problem_names_file_line_column_and_mend(problems, files) -> None:
    files["rules/level.yaml"] = files["rules/level.yaml"].replace("value: waterLevel", "value: waterLevle")

    (found,) = problems(files)

    assert (found.file, found.line, found.column) == ("rules/level.yaml", 5, 12)
    assert "waterLevel" in render(found.code, found.params, "en")


def test_a_mapping_s_problem_names_its_line_inside_the_pack(problems, files) -> None:
    files["sources/levels.mapping.yaml"] += "surprise: 1\n"

    (found,) = problems(files)

    assert (found.file, found.line) == ("sources/levels.mapping.yaml", 7)


def test_a_type_s_problem_names_its_line_inside_the_pack(problems, files) -> None:
    files["vocabulary/level.yaml"] = files["vocabulary/level.yaml"].replace("measured", "guessed")

    (found,) = problems(files)

    assert (found.file, found.line) == ("vocabulary/level.yaml", 5)


def test_rules_may_use_the_pack_s_own_types(write, files) -> None:
    files["rules/level.yaml"] = files["rules/level.yaml"].replace("value: waterLevel", "value: salinity")

    assert load_pack(write(files), Vocabulary.load()).rules.rules


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("rules/judge.py", "pack.not_declarative"),
        ("cases/tide/run.sh", "pack.not_declarative"),
        ("notes.yaml", "pack.unknown_entry"),
        ("rule/level.yaml", "pack.unknown_entry"),
    ],
)
def test_what_is_no_part_of_a_pack_is_refused(problems, files, path: str, code: str) -> None:
    files[path] = ""

    assert (code, path.split("/", maxsplit=1)[0]) in {(one.code, one.file.split("/")[0]) for one in problems(files)}


def test_a_mistyped_folder_names_the_nearest(problems, files) -> None:
    files["rule/level.yaml"] = ""

    assert problems(files)[0].params == {"name": "rule", "nearest": "rules"}


def test_a_link_is_refused(problems, files, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("a: 1", encoding="utf-8")

    found = problems(files, lambda root: (root / "rules" / "more.yaml").symlink_to(secret))

    assert ("pack.link", "rules/more.yaml", 0, 0) in where(found)


def test_a_huge_file_is_refused(problems, files) -> None:
    files["maps/city.json"] = " " * (8 * 2**20 + 1)

    assert where(problems(files)) == [("pack.file_too_large", "maps/city.json", 0, 0)]


def test_very_many_files_are_refused(problems, files) -> None:
    files |= {f"maps/{number}.json": "" for number in range(2_001)}

    assert where(problems(files)) == [("pack.too_many_files", "pack.yaml", 0, 0)]


def test_bytes_that_are_no_text_are_refused(problems, files) -> None:
    found = problems(files, lambda root: (root / "rules" / "level.yaml").write_bytes(b"rules: \xff\xfe"))

    assert [one.code for one in found] == ["pack.unreadable"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_problem_has_a_sentence_in_both_languages(problems, files, language: str) -> None:
    files["pack.yaml"] = "pack: Harbour\nversion: one\ntitle: x\ngulou: '9'\n"
    files["rule/x.py"] = ""

    sentences = [render(one.code, one.params, language) for one in problems(files)]

    assert len(sentences) >= 5
    assert all("{" not in sentence.replace("{en: …, zh: …}", "") for sentence in sentences)
    assert len(set(sentences)) == len(sentences)
