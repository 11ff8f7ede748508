"""Packs in and out of service while the platform runs; a broken edit never stops what ran."""

from __future__ import annotations

import shutil

import pytest

from gulou.access import Principal
from gulou.kernel.errors import Conflict, Denied, Invalid, NotFound
from gulou.kernel.messages import render
from gulou.packs import service
from gulou.packs.loader import load_pack

from .conftest import RULE
from .test_loader import BERTH

BROKEN_RULE = "rules:\n  - id: high-level\n    kind: treshold\n"


def test_a_found_pack_is_not_yet_in_service(harness, write, files) -> None:
    write(files)

    status = harness.packs.get("harbour")

    assert (status.state, status.running, status.version) == ("disabled", None, "1.0.0")
    assert status.contents == {"rules": 1, "mappings": 1, "types": 1, "stories": 1}
    assert (harness.running_rules(), harness.mappings.names()) == ([], [])


def test_what_running_packs_say_of_retention_holds_while_they_run(harness, write, files, steward) -> None:
    files["vocabulary/berth.yaml"] = BERTH
    files["pack.yaml"] += "retention: {Berth: 30}\n"
    write(files)
    assert harness.packs.retention() == {}

    harness.packs.enable("harbour", steward)
    assert harness.packs.retention() == {"Berth": 30}
    write({**files, "pack.yaml": files["pack.yaml"].replace("30", "60")})
    harness.packs.enable("harbour", steward)
    assert harness.packs.retention() == {"Berth": 60}
    harness.start()
    harness.packs.start()
    assert harness.packs.retention() == {"Berth": 60}
    harness.packs.disable("harbour", steward)
    assert harness.packs.retention() == {}


def test_enabling_puts_rules_mappings_and_types_in_force_at_once(harness, write, files, steward) -> None:
    write(files)

    status = harness.packs.enable("harbour", steward)

    assert (status.state, status.running) == ("enabled", "1.0.0")
    assert harness.running_rules() == [("harbour/high-level", "harbour")]
    assert harness.mappings.names() == ["harbour-levels"]
    assert "salinity" in harness.vocabulary.get_type("WaterLevelObserved").properties
    assert harness.audited() == [("pack.enable", "harbour")]


def test_disabling_takes_all_of_it_away(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)

    status = harness.packs.disable("harbour", steward)

    assert (status.state, status.running) == ("disabled", None)
    assert (harness.running_rules(), harness.mappings.names()) == ([], [])
    assert "salinity" not in harness.vocabulary.get_type("WaterLevelObserved").properties
    assert harness.audited()[-1] == ("pack.disable", "harbour")


def test_what_was_enabled_is_in_force_after_a_restart(harness, write, files, steward) -> None:
    write(files)
    write({"pack.yaml": files["pack.yaml"].replace("harbour", "dock")}, name="dock")
    harness.packs.enable("harbour", steward)
    harness.packs.enable("dock", steward)
    harness.packs.disable("dock", steward)

    harness.start()
    harness.packs.start()

    assert {one.name: one.state for one in harness.packs.all()} == {"dock": "disabled", "harbour": "enabled"}
    assert harness.running_rules() == [("harbour/high-level", "harbour")]


def test_a_broken_edit_is_refused_whole_and_the_running_version_stays(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)
    write({**files, "rules/level.yaml": BROKEN_RULE, "pack.yaml": files["pack.yaml"].replace("1.0.0", "1.1.0")})

    with pytest.raises(Invalid) as caught:
        harness.packs.enable("harbour", steward)

    status = harness.packs.get("harbour")
    assert caught.value.code == "document.broken"
    assert (status.state, status.running) == ("broken", "1.0.0")
    assert {(one.file, one.line) for one in status.problems} >= {("rules/level.yaml", 3)}
    assert harness.running_rules() == [("harbour/high-level", "harbour")]
    assert harness.audited() == [("pack.enable", "harbour")]


def test_a_broken_edit_keeps_the_running_version_over_a_restart(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)
    write({**files, "rules/level.yaml": BROKEN_RULE})

    harness.start()
    harness.packs.start()
    (status,) = harness.packs.all()

    assert (status.state, status.running) == ("broken", "1.0.0")
    assert harness.running_rules() == [("harbour/high-level", "harbour")]


def test_the_version_that_started_last_is_the_one_that_is_kept(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)
    write({**files, "pack.yaml": files["pack.yaml"].replace("1.0.0", "1.1.0")})
    harness.start()
    harness.packs.start()
    write({**files, "rules/level.yaml": BROKEN_RULE})

    harness.start()
    harness.packs.start()
    (status,) = harness.packs.all()

    assert (status.state, status.running) == ("broken", "1.1.0")


def test_one_broken_pack_does_not_break_another(harness, write, files, steward) -> None:
    write(files)
    write({"pack.yaml": files["pack.yaml"].replace("harbour", "dock")}, name="dock")
    harness.packs.enable("harbour", steward)
    write({**files, "vocabulary/level.yaml": "extends: Nothing\n"})

    status = harness.packs.enable("dock", steward)

    assert status.state == "enabled"
    assert {one.name: one.state for one in harness.packs.all()} == {"dock": "enabled", "harbour": "broken"}


def test_a_running_pack_whose_folder_went_can_still_be_seen_and_disabled(harness, write, files, steward) -> None:
    root = write(files)
    harness.packs.enable("harbour", steward)
    shutil.rmtree(root)

    assert [(one.name, one.running) for one in harness.packs.all()] == [("harbour", "1.0.0")]
    harness.start()
    harness.packs.start()
    assert [(one.name, one.running) for one in harness.packs.all()] == [("harbour", "1.0.0")]
    harness.packs.disable("harbour", steward)

    assert harness.running_rules() == []


def test_an_edit_goes_live_by_enabling_again(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)
    write(
        {
            "pack.yaml": files["pack.yaml"].replace("1.0.0", "2.0.0"),
            "rules/level.yaml": files["rules/level.yaml"].replace("high-level", "very-high-level"),
        }
    )

    status = harness.packs.enable("harbour", steward)

    assert status.running == "2.0.0"
    assert harness.running_rules() == [("harbour/very-high-level", "harbour")]
    assert harness.mappings.names() == []
    assert "salinity" not in harness.vocabulary.get_type("WaterLevelObserved").properties


def test_a_mapping_s_name_that_another_pack_has_refuses_the_whole_pack(harness, write, files, steward) -> None:
    write(files)
    harness.packs.enable("harbour", steward)
    write(
        {
            "pack.yaml": files["pack.yaml"].replace("harbour", "dock"),
            "sources/levels.mapping.yaml": files["sources/levels.mapping.yaml"],
            "rules/level.yaml": files["rules/level.yaml"],
            "vocabulary/level.yaml": files["vocabulary/level.yaml"].replace("salinity", "turbidity"),
        },
        name="dock",
    )

    with pytest.raises(Conflict) as caught:
        harness.packs.enable("dock", steward)

    assert caught.value.code == "mapping.name_taken"
    assert harness.packs.get("dock").running is None
    assert harness.running_rules() == [("harbour/high-level", "harbour")]
    assert "turbidity" not in harness.vocabulary.get_type("WaterLevelObserved").properties
    assert harness.audited() == [("pack.enable", "harbour")]


def test_packs_that_came_to_conflict_do_not_keep_the_platform_from_starting(harness, write, files, steward) -> None:
    dock = {"pack.yaml": files["pack.yaml"].replace("harbour", "dock")}
    write(files)
    write(dock, name="dock")
    harness.packs.enable("harbour", steward)
    harness.packs.enable("dock", steward)
    write({**dock, "sources/levels.mapping.yaml": files["sources/levels.mapping.yaml"]}, name="dock")

    harness.start()
    harness.packs.start()

    assert sorted(one.name for one in harness.packs.all() if one.running) == ["dock", "harbour"]
    assert harness.mappings.names() == ["harbour-levels"]


def test_the_first_folder_that_has_a_pack_wins(harness, write, files) -> None:
    write({"pack.yaml": files["pack.yaml"]})
    write({"pack.yaml": files["pack.yaml"].replace("1.0.0", "9.0.0")}, folder="more")
    write({"pack.yaml": files["pack.yaml"].replace("harbour", "dock")}, name="dock", folder="more")

    assert [(one.name, one.version) for one in harness.packs.all()] == [("dock", "1.0.0"), ("harbour", "1.0.0")]


def test_an_unknown_pack_is_not_found(harness, steward) -> None:
    for call in (harness.packs.get, harness.packs.load):
        with pytest.raises(NotFound):
            call("harbour")
    for change in (harness.packs.enable, harness.packs.disable):
        with pytest.raises(NotFound) as caught:
            change("harbour", steward)
        assert caught.value.code == "pack.unknown"


def test_a_name_that_climbs_out_of_the_folder_is_not_found(harness, write, files, steward) -> None:
    write(files, folder="outside")

    with pytest.raises(NotFound):
        harness.packs.enable("../outside/harbour", steward)


def test_who_may_not_manage_packs_changes_nothing(harness, write, files, viewer: Principal) -> None:
    write(files)

    for change in (harness.packs.enable, harness.packs.disable):
        with pytest.raises(Denied):
            change("harbour", viewer)

    assert harness.packs.get("harbour").state == "disabled"
    assert harness.audited() == []


def test_the_first_start_is_told_from_later_ones(harness, write, files, steward) -> None:
    write(files)
    assert harness.packs.never_decided()

    harness.packs.enable("harbour", steward)
    harness.packs.disable("harbour", steward)

    assert not harness.packs.never_decided()


# packs that are given as texts


def test_texts_that_make_a_good_pack_have_no_problem(harness, files) -> None:
    assert harness.packs.check_files("harbour", files) == []


def test_texts_are_checked_like_a_folder(harness, files) -> None:
    found = harness.packs.check_files("harbour", {**files, "rules/level.yaml": BROKEN_RULE})

    assert {(one.file, one.line) for one in found} >= {("rules/level.yaml", 3)}


HOSTILE = [
    "../evil.yaml",
    "/tmp/evil.yaml",
    "rules/../../evil.yaml",
    "a/" * 9 + "x.yaml",
    "",
    ".",
    "..",
    "a\0b",
    "x" * 300,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_leads_out_or_nowhere_is_refused(harness, files, tmp_path, path: str) -> None:
    (found, *_) = harness.packs.check_files("harbour", {**files, path: "evil: 1"})

    assert found.code == "pack.unknown_entry"
    assert render(found.code, found.params, "en")
    assert not list(tmp_path.rglob("evil.yaml"))


def test_a_path_that_is_file_and_folder_is_refused(harness, files) -> None:
    found = harness.packs.check_files("harbour", {**files, "rules": "x"})

    assert [one.code for one in found] == ["pack.unknown_entry"]


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "Harbour", "/etc"])
def test_texts_under_a_name_that_is_none_are_refused(harness, files, name: str) -> None:
    assert [one.code for one in harness.packs.check_files(name, files)] == ["pack.bad_name"]


def test_a_pack_is_read_again_only_when_it_has_changed(harness, write, files, steward, monkeypatch) -> None:
    read = []

    def reading(root, vocabulary):
        read.append(root.name)
        return load_pack(root, vocabulary)

    monkeypatch.setattr(service, "load_pack", reading)
    write({path: text for path, text in files.items() if not path.startswith("vocabulary")})
    assert harness.packs.enable("harbour", steward).state == "enabled"
    assert harness.packs.get("harbour").contents["rules"] == 1
    assert read == ["harbour"]

    write({**files, "rules/more.yaml": RULE.replace("high-level", "higher-level")})
    assert harness.packs.get("harbour").contents["rules"] == 2
    write({**files, "rules/more.yaml": BROKEN_RULE})
    assert harness.packs.get("harbour").state == "broken"
    assert harness.packs.get("harbour").problems[0].file == "rules/more.yaml"
    assert len(read) == 4


def test_other_packs_types_are_part_of_what_a_pack_says(harness, write, files, steward) -> None:
    write(files)
    dependent = RULE.replace("value: waterLevel", "value: salinity").replace("harbour", "dock")
    write({"pack.yaml": files["pack.yaml"].replace("harbour", "dock"), "rules/a.yaml": dependent}, name="dock")
    assert harness.packs.get("dock").state == "broken"
    harness.packs.enable("harbour", steward)
    assert harness.packs.get("dock").state == "disabled"
    harness.packs.disable("harbour", steward)
    assert harness.packs.get("dock").state == "broken"


def test_what_was_prepared_is_taken_over_without_being_read_again(harness, write, files, steward, monkeypatch) -> None:
    write({path: text for path, text in files.items() if not path.startswith("vocabulary")})
    harness.packs.enable("harbour", steward)
    kept = harness.packs
    harness.start()  # another process, which follows
    read = []
    monkeypatch.setattr(service, "load_pack", lambda root, vocabulary: read.append(root) or load_pack(root, vocabulary))
    harness.packs.prepare("nowhere")
    harness.packs.prepare("harbour")
    harness.packs.follow()
    assert len(read) == 1
    assert harness.running_rules() == [("harbour/high-level", "harbour")]

    harness.packs.prepare("harbour")  # nothing new
    assert len(read) == 1
    write({**files, "rules/more.yaml": RULE.replace("high-level", "higher-level")})
    harness.packs.prepare("harbour")
    write({**files, "rules/more.yaml": RULE.replace("high-level", "highest-level")})
    kept.enable("harbour", steward)
    harness.packs.follow()  # has not come to hold what was prepared
    assert harness.running_rules()[1] == ("harbour/highest-level", "harbour")
