from pathlib import Path

import pytest
from pydantic import BaseModel

from gulou.kernel import Invalid
from gulou.kernel.settings import (
    Settings,
    check_names,
    describe,
    find_undescribed,
    load_settings,
    sample_file,
    setting,
)


class IntakeSettings(Settings):
    min_free_mb: int = setting(256, unit="MB", description="Room that must stay free on the disk.", ge=1)
    sync: bool = setting(True, description="Write through to the disk before an answer.")
    topics: tuple[str, ...] = setting(("a/#",), description="Topics to listen to.")
    folder: Path | None = setting(None, description="Where the log lies.")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "city.toml"


def test_defaults_stand_without_a_file(file):
    assert load_settings(IntakeSettings, "intake", None, {}) == IntakeSettings()
    assert load_settings(IntakeSettings, "intake", file, {}).min_free_mb == 256


def test_the_file_beats_the_default_and_the_environment_beats_the_file(file):
    file.write_text("[intake]\nmin_free_mb = 100\nsync = false\n")
    loaded = load_settings(IntakeSettings, "intake", file, {"GULOU_INTAKE_MIN_FREE_MB": "7", "GULOU_OTHER_SYNC": "1"})
    assert (loaded.min_free_mb, loaded.sync) == (7, False)


@pytest.mark.parametrize(
    ("text", "expected"), [("a,b , c", ("a", "b", "c")), ('["x,y", "z"]', ("x,y", "z")), ("", ()), ("one", ("one",))]
)
def test_a_list_in_the_environment(text, expected):
    assert load_settings(IntakeSettings, "intake", None, {"GULOU_INTAKE_TOPICS": text}).topics == expected


def test_an_unknown_key_names_the_nearest_and_its_line(file):
    file.write_text("[other]\nmin_free = 1\n\n[intake]\nsync = true\nmin_free = 3\n")
    with pytest.raises(Invalid, match=r"settings\.unknown_key") as refused:
        load_settings(IntakeSettings, "intake", file, {})
    assert refused.value.params == {"where": f"{file}:6", "key": "intake.min_free", "nearest": "min_free_mb"}


@pytest.mark.parametrize("value", ['"many"', "0", "1.5", "[1]"])
def test_a_bad_value_in_the_file_is_located(file, value):
    file.write_text(f"[intake]\nmin_free_mb = {value}\n")
    with pytest.raises(Invalid, match=r"settings\.bad_value") as refused:
        load_settings(IntakeSettings, "intake", file, {})
    assert refused.value.params["where"] == f"{file}:2"


def test_a_bad_value_in_the_environment_names_the_variable_but_not_the_value():
    with pytest.raises(Invalid, match=r"settings\.bad_value") as refused:
        load_settings(IntakeSettings, "intake", None, {"GULOU_INTAKE_MIN_FREE_MB": "s3cret"})
    assert refused.value.params["where"] == "GULOU_INTAKE_MIN_FREE_MB"
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("content", [b"[intake\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_an_unreadable_file_is_one_clear_error(file, content):
    file.write_bytes(content)
    with pytest.raises(Invalid, match=r"settings\.unreadable"):
        load_settings(IntakeSettings, "intake", file, {})


def test_a_section_must_be_a_table(file):
    file.write_text("intake = 3\n")
    with pytest.raises(Invalid, match=r"settings\.not_a_section"):
        load_settings(IntakeSettings, "intake", file, {})


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        IntakeSettings().min_free_mb = 3


def test_unknown_sections_and_variables_are_refused_at_start(file):
    known = {"intake": IntakeSettings}
    file.write_text("[intake]\n")
    check_names(known, file, {"GULOU_INTAKE_SYNC": "1", "GULOU_DATA": "x", "PATH": "y"}, {"GULOU_DATA"})
    with pytest.raises(Invalid, match=r"settings\.unknown_key") as refused:
        check_names(known, file, {"GULOU_INTAKE_SINK": "1"})
    assert refused.value.params["nearest"] == "GULOU_INTAKE_SYNC"
    file.write_text("[intak]\n")
    with pytest.raises(Invalid, match=r"settings\.unknown_section") as refused:
        check_names(known, file, {})
    assert refused.value.params["nearest"] == "intake"


def test_the_sample_file_is_the_defaults(file):
    sample = sample_file({"intake": IntakeSettings})
    active = "".join(f"{line[2:]}\n" for line in sample.splitlines() if line.startswith("# ") and " = " in line)
    file.write_text("[intake]\n" + "\n".join(line for line in active.splitlines() if not line.endswith("= ")))
    assert load_settings(IntakeSettings, "intake", file, {}) == IntakeSettings()
    assert "[MB] (GULOU_INTAKE_MIN_FREE_MB)" in sample


def test_descriptions_are_complete_or_reported():
    class Careless(BaseModel):
        port: int = 1
        name: str = setting("x", description="A name.")
        count: int = setting(3, description="How many.", unit="1")

    assert find_undescribed(IntakeSettings) == []
    assert find_undescribed(Careless) == ["Careless.port"]
    assert describe(Careless, "care")[0].variable == "GULOU_CARE_PORT"
