import pytest

from gulou.kernel import Invalid
from gulou.vocabulary import Vocabulary

WELL = """\
type: Well
label: {en: Well, zh: 井}
description: {en: A well, zh: 一口井}
main: depth
properties:
  depth:
    label: {en: Depth, zh: 深度}
    kind: measured
    unit: m
    range: [0, 500]
  lid:
    label: {en: Lid, zh: 井盖}
    kind: state
    values:
      on: {en: On, zh: 盖好}
      off: {en: Off, zh: 打开}
"""
MORE = """\
extends: Pump
properties:
  vibration:
    label: {en: Vibration, zh: 振动}
    kind: measured
    unit: mm/s
    range: [0, 100]
"""


@pytest.fixture
def vocabulary():
    return Vocabulary.load()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vocabulary"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_pack_adds_types_and_properties(vocabulary, folder):
    write(folder, well=WELL, more=MORE)
    assert vocabulary.extend(folder, "wells") == ["Pump", "Well"]
    assert vocabulary.check("Well", "depth", 300, "cm") == 3
    assert vocabulary.check("Well", "lid", "off") == "off"
    assert vocabulary.check("Pump", "vibration", 1) == 1
    assert vocabulary.get_property("Pump", "vibration").owner == "wells"
    assert vocabulary.get_type("Pump").owner == "gulou"
    assert vocabulary.check("Well", "name", "x") == "x"


def test_what_a_pack_added_goes_with_it(vocabulary, folder):
    vocabulary.extend(write(folder, well=WELL, more=MORE), "wells")
    vocabulary.check("Pump", "vibration", 1)
    vocabulary.remove("wells")
    assert vocabulary.find_type("Well") is None
    with pytest.raises(Invalid, match=r"reading\.property_unknown"):
        vocabulary.check("Pump", "vibration", 1)


def test_extending_again_replaces(vocabulary, folder):
    vocabulary.extend(write(folder, well=WELL), "wells")
    vocabulary.extend(write(folder, well=WELL.replace("500", "5")), "wells")
    with pytest.raises(Invalid, match=r"reading\.out_of_range"):
        vocabulary.check("Well", "depth", 300)


def test_a_pack_may_build_on_another_and_holds_it(vocabulary, tmp_path):
    vocabulary.extend(write(tmp_path / "a", well=WELL), "a")
    vocabulary.extend(write(tmp_path / "b", more=MORE.replace("Pump", "Well")), "b")
    with pytest.raises(Invalid, match=r"vocabulary\.base_unknown"):
        vocabulary.remove("a")
    assert vocabulary.check("Well", "vibration", 1) == 1
    vocabulary.remove("b")
    vocabulary.remove("a")


def test_a_view_that_was_handed_out_does_not_change(vocabulary, folder):
    before = vocabulary.types
    vocabulary.extend(write(folder, well=WELL), "wells")
    assert "Well" not in before
    assert "Well" in vocabulary.types


def test_directories_can_be_given_at_loading(folder):
    assert "Well" in Vocabulary.load([write(folder, well=WELL)]).types


BROKEN = [
    (WELL.replace("kind: measured", "kind: measurd"), "vocabulary.value_wrong", 8),
    (WELL.replace("    kind: measured\n", ""), "vocabulary.key_missing", 6),
    (WELL.replace("    unit: m\n", ""), "vocabulary.key_missing", 6),
    (WELL.replace("    range: [0, 500]\n", ""), "vocabulary.key_missing", 6),
    (WELL.replace("unit: m", "unit: metre"), "vocabulary.unit_unknown", 9),
    (WELL.replace("unit: m", "unit: MTR"), "vocabulary.unit_unknown", 9),
    (WELL.replace("[0, 500]", "[500, 0]"), "vocabulary.value_wrong", 10),
    (WELL.replace("[0, 500]", "500"), "vocabulary.value_wrong", 10),
    (WELL.replace("[0, 500]", "[0, .nan]"), "vocabulary.value_wrong", 10),
    (WELL.replace("range:", "rnge:"), "vocabulary.key_unknown", 10),
    (WELL.replace("main: depth", "main: dpth"), "vocabulary.value_wrong", 4),
    (WELL.replace("{en: Depth, zh: 深度}", "{en: Depth}"), "vocabulary.key_missing", 7),
    (WELL.replace("{en: Depth, zh: 深度}", "Depth"), "vocabulary.value_wrong", 7),
    (WELL.replace("type: Well", "type: We ll"), "vocabulary.value_wrong", 1),
    (WELL.replace("type: Well", "type: Pump"), "vocabulary.already_defined", 1),
    (WELL.replace("type: Well", "typ: Well"), "vocabulary.key_unknown", 1),
    (WELL.replace("  depth:", "  observedAt:"), "vocabulary.value_wrong", 6),
    (WELL.replace("    kind: state", "    kind: state\n    unit: m"), "vocabulary.value_wrong", 14),
    (WELL.replace("    kind: state", "    kind: enum").split("    values")[0], "vocabulary.key_missing", 11),
    (WELL.replace("    kind: measured", "    kind: measured\n    decimals: -1"), "vocabulary.value_wrong", 9),
    (WELL.replace("    kind: state", "    kind: relation\n    targets: Pump"), "vocabulary.value_wrong", 14),
    (MORE.replace("Pump", "Pmup"), "vocabulary.base_unknown", 1),
    (MORE.replace("vibration", "powerState"), "vocabulary.already_defined", 3),
    (MORE + "type: Pump\n", "vocabulary.value_wrong", 1),
    ("[]", "vocabulary.value_wrong", 1),
    ("", "vocabulary.value_wrong", 1),
    ("type: [\n", "document.broken", 2),
    (WELL + "type: Well\n", "document.broken", 17),
]


@pytest.mark.parametrize(("text", "code", "line"), BROKEN)
def test_a_broken_file_is_refused_whole_with_file_and_line(vocabulary, folder, text, code, line):
    write(folder, aaa=WELL.replace("type: Well", "type: Aaa"), well=text)
    before = vocabulary.types
    with pytest.raises(Invalid) as refused:
        vocabulary.extend(folder, "wells")
    assert refused.value.code == code
    assert refused.value.params["file"] == str(folder / "well.yaml")
    assert refused.value.params["line"] == line
    assert vocabulary.types is before


def test_a_mend_is_proposed(vocabulary, folder):
    with pytest.raises(Invalid) as refused:
        vocabulary.extend(write(folder, well=WELL.replace("range:", "rnge:")), "wells")
    assert refused.value.params["nearest"] == "range"
    with pytest.raises(Invalid) as refused:
        vocabulary.extend(write(folder, well=MORE.replace("Pump", "Pmup")), "wells")
    assert refused.value.params["nearest"] == "Pump"


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"type: \xff\xfe"), lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read_is_refused(vocabulary, folder, make):
    folder.mkdir()
    path = folder / "well.yaml"
    make(path)
    with pytest.raises(Invalid, match=r"vocabulary\.value_wrong") as refused:
        vocabulary.extend(folder, "wells")
    assert refused.value.params["file"] == str(path)


def test_an_absent_directory_adds_nothing(vocabulary, folder):
    assert vocabulary.extend(folder, "wells") == []
