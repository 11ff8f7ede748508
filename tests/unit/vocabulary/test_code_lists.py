from datetime import date

import pytest

from gulou.kernel import Invalid, NotFound
from gulou.vocabulary import RegionList, load_code_lists, normal_region_code, severities

DAY = date(2026, 1, 1)
LISTS = load_code_lists()


def test_severities_run_from_blue_to_red():
    assert list(severities().codes) == ["blue", "yellow", "orange", "red"]
    assert [code.properties["cap"] for code in severities().codes.values()] == [
        "Minor",
        "Moderate",
        "Severe",
        "Extreme",
    ]
    assert severities().highest(["yellow", "red", "blue"]) == "red"
    assert severities().highest([]) is None
    assert severities().find_by("cap", "Severe").code == "orange"
    assert severities().find_by("cap", "Unknown") is None


@pytest.mark.parametrize("item", LISTS.values(), ids=lambda item: item.name)
def test_every_list_is_complete(item):
    assert item.edition
    assert item.source
    assert set(item.label) == {"en", "zh"}
    assert all(set(code.label) == {"en", "zh"} for code in item.codes.values())


def test_lists_agree_with_each_other():
    categories, cap = LISTS["category"], LISTS["cap_category"]
    assert all(name in cap.codes for code in categories.codes.values() for name in code.properties["cap"])
    for kind in LISTS["incident_kind"].codes.values():
        assert kind.properties["category"] in categories.codes
        assert kind.properties["cap"] in cap.codes
    assert {code.properties["severity"] for code in LISTS["event_grade"].codes.values()} == set(severities().codes)
    assert categories.find_by("cap", "Met").code == "natural_disaster"


def test_an_unknown_code_names_the_list():
    with pytest.raises(Invalid, match=r"vocabulary\.code_unknown") as refused:
        severities().get_code("purple")
    assert refused.value.params["allowed"] == ["blue", "yellow", "orange", "red"]


def test_the_provinces():
    provinces = RegionList.provinces()
    assert len(provinces) == 34
    assert provinces.get_region("11", DAY).name == "北京市"
    assert provinces.get_region("110000", DAY).name == "北京市"
    assert [region.code for region in provinces.path_of("110105001", DAY)] == ["110000"]


def test_a_dated_list_knows_what_was_when(tmp_path):
    file = tmp_path / "regions.csv"
    file.write_text(
        "code,name,valid_from,valid_to\n110103,崇文区,,2010-07-01\n110101,东城区,,\n110102,西城区,1958-05-01,\n"
    )
    regions = RegionList.provinces().with_regions(RegionList.from_csv(file, "2024", "test"))
    assert regions.edition == "2024"
    assert regions.get_region("110103", date(2010, 6, 30)).name == "崇文区"
    with pytest.raises(NotFound, match=r"vocabulary\.region_unknown"):
        regions.get_region("110103", date(2010, 7, 1))
    assert regions.find_region("110102", date(1950, 1, 1)) is None
    assert [region.name for region in regions.path_of("110101", DAY)] == ["北京市", "东城区"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("name\nx\n", 1), ("code,name\n110101,\n", 2), ("code,name,valid_from\n110101,x,2024-13-01\n", 2), ("", 1)],
)
def test_a_broken_list_names_file_and_line(tmp_path, text, line):
    file = tmp_path / "regions.csv"
    file.write_text(text)
    with pytest.raises(Invalid, match=r"vocabulary\.value_wrong") as refused:
        RegionList.from_csv(file, "2024", "test")
    assert (refused.value.params["file"], refused.value.params["line"]) == (str(file), line)


@pytest.mark.parametrize("code", ["", "1", "010000", "11010", "1101011", "11010a", "１１０１０１", "1101010000000"])
def test_what_is_no_region_code(code):
    with pytest.raises(Invalid, match=r"vocabulary\.region_malformed"):
        normal_region_code(code)


def test_short_codes_are_filled_up():
    assert normal_region_code("11") == "110000"
    assert normal_region_code("1101") == "110100"
    assert normal_region_code("110101001") == "110101001"
