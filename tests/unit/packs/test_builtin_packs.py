"""The packs that come with Gulou: each loads, and each of its stories plays as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gulou.cli.wire import build_stage, builtin_packs, scratch_vocabulary
from gulou.packs import Pack, load_pack, play, scaffold_pack

PACKS = sorted(path.parent for path in builtin_packs().glob("*/pack.yaml"))
STORIES = sorted(path.parent for path in builtin_packs().glob("*/cases/*/story.yaml"))


@pytest.fixture(scope="module")
def packs() -> dict[str, Pack]:
    return {root.name: load_pack(root, scratch_vocabulary()) for root in PACKS}


def story_of(pack: Pack, name: str):
    return next(one for one in pack.stories if one.name == name)


def test_the_packs_of_the_demo_are_there(packs) -> None:
    assert {"air", "flood", "traffic"} <= set(packs)


@pytest.mark.parametrize("root", PACKS, ids=lambda root: root.name)
def test_a_pack_has_rules_stories_and_both_languages(packs, root: Path) -> None:
    pack = packs[root.name]

    assert pack.rules.rules
    assert pack.stories
    assert {"en", "zh"} <= set(pack.manifest.title) & set(pack.manifest.description)
    assert [story.name for story in pack.stories if not {"en", "zh"} <= set(story.title)] == []
    assert [rule.id for rule in pack.rules.rules if not {"en", "zh"} <= set(rule.label)] == []


@pytest.mark.parametrize("case", STORIES, ids=lambda case: f"{case.parents[1].name}-{case.name}")
def test_a_story_plays_as_it_says(packs, case: Path) -> None:
    pack = packs[case.parents[1].name]

    assert play(story_of(pack, case.name), pack, build_stage) == []


@pytest.fixture
def altered(tmp_path: Path):
    """Play the scaffold's story with one text replaced."""

    def play_altered(old: str, new: str) -> list[str]:
        root = scaffold_pack("harbour", tmp_path)
        path = root / "cases" / "first-story" / "story.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        pack = load_pack(root, scratch_vocabulary())
        return play(pack.stories[0], pack, build_stage)

    return play_altered


def test_the_scaffold_s_story_plays_untouched(altered) -> None:
    assert altered("The water rises", "The water rises") == []


WRONG = [
    ("severity: orange, active: true", "severity: red, active: true", 12, "severity=orange"),
    ('- incident: {category: "harbour"', '- no_incident: {category: "harbour"', 13, "kind=harbour"),
    ("department: water}", "department: fire}", 13, "department=water"),
    ('high-level", active: false', 'high-level", active: true', 17, "state=cleared"),
    ('warning: {rule: "harbour/high-level", active: false}', "rejected: {count: 1}", 17, "there are 2"),
    (
        'warning: {rule: "harbour/high-level", active: false}',
        "value: {entity: 'urn:ngsi-ld:WaterLevelObserved:gauge-1', property: waterLevel, equals: 9}",
        17,
        "it is 0.5",
    ),
    (
        'warning: {rule: "harbour/high-level", active: false}',
        "command: {device: pump-1}",
        17,
        "there is: none",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "shown"), WRONG, ids=[shown for *_, shown in WRONG])
def test_a_wrong_expectation_fails_with_file_line_and_what_was_there(
    altered, old: str, new: str, line: int, shown: str
) -> None:
    (failure,) = altered(old, new)

    assert failure.startswith(f"cases/first-story/story.yaml:{line}: expected ")
    assert shown in failure


def test_what_a_story_does_wrong_is_named_with_its_line(altered) -> None:
    (failure,) = altered('urn:ngsi-ld:WaterLevelObserved:gauge-1", type', 'gauge-1", type')

    assert failure.startswith("cases/first-story/story.yaml:")


def test_rejected_readings_of_a_story_are_counted(altered) -> None:
    failures = altered(
        "  - at: 4m\n",
        '  - at: 3s\n    send: {"urn:ngsi-ld:WaterLevelObserved:gauge-2": {waterLevel: much, pm25: 3}}\n'
        "    expect:\n      - rejected: {count: 2}\n      - rejected: {code: reading.property_unknown, count: 1}\n"
        "  - at: 4m\n",
    )

    assert failures == []
