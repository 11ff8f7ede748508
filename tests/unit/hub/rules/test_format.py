"""Reading rule files: the documented examples, and every mistake with its place and mend."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import gulou.hub.rules
from gulou.hub.rules import RuleSet
from gulou.kernel.documents import problems_of
from gulou.kernel.errors import Invalid
from gulou.kernel.messages import render

README = (Path(gulou.hub.rules.__file__).parent / "README.md").read_text("utf-8")
THRESHOLD = "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel > 1\nseverity: red"
SQUARE = json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]})


def problems(kit, text, **files):
    with pytest.raises(Invalid) as caught:
        kit.parse(text, **files)
    return problems_of(caught.value)


def test_the_first_documented_example_is_a_rule(kit):
    text = re.search(r"```yaml\n(rules:.*?)```", README, re.DOTALL)[1]
    rules = kit.parse(text)
    assert [rule.id for rule in rules.rules] == ["test/drain-level"]
    assert rules.rules[0].commands[0].approval == "person"
    assert rules.rules[0].incident.deadline_s == 7200.0


@pytest.mark.parametrize("kind", ["absence", "geofence", "pattern", "derive"])
def test_each_documented_kind_is_read(kit, kind):
    block = re.search(rf"```yaml\n(kind: {kind}\n.*?)```", README, re.DOTALL)[1]
    common = "" if kind == "derive" else "category: flood\nheadline: x\n"
    body = "".join(f"    {line}\n" for line in (common + block).splitlines())
    tables = re.search(r"```yaml\n(tables:.*?)```", README, re.DOTALL)[1].replace("aqi-cn-pm25", "aqi-cn-pm10")
    first = re.search(r"```yaml\n(tables:.*?)```", README, re.DOTALL)[1]
    text = first + tables.replace("tables:\n", "") + "rules:\n  - id: x\n" + body
    rules = RuleSet.parse({"rules/a.yaml": text, "areas/old-town.geojson": SQUARE}, kit.vocabulary)
    assert [rule.kind for rule in rules.rules] == [kind]


def test_every_mistake_is_listed_with_its_place(kit):
    found = problems(
        kit,
        """rules:
  - id: Drain level
    kind: threshold
    select: {type: WaterLevelObservd}
  - id: b
    kind: threshold
    select: {type: WaterLevelObserved, where: "siteCategory = 'drian'"}
    value: waterLevl + 1
    levels: {blue: 1.2, yellow: 1.0}
    headline: {en: "{nam}", zh: "{value:>9999}"}
    category: x
    hystresis: 1
    on: 3
  - id: c
    kind: threshold
    select: {type: WaterLevelObserved}
    levels:
      red:
        when: |
          waterLevel > 1 AND
            precipitatio > 3
    category: x
""",
    )
    assert [(one.code, one.line, one.column) for one in found] == [
        ("rules.id_malformed", 2, 9),
        ("rules.type_unknown", 4, 20),
        ("rules.value_not_in_list", 7, 48),
        ("rules.property_unknown", 8, 12),
        ("rules.levels_out_of_order", 9, 33),
        ("rules.text_word_unknown", 10, 20),
        ("rules.text_format", 10, 33),
        ("document.unknown_key", 12, 16),
        ("document.unknown_key", 13, 9),
        ("document.missing_key", 14, 5),
        ("rules.property_unknown", 21, 13),
    ]
    assert found[-1].params["nearest"] == "precipitation"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("kind: thresold\nselect: {type: Pump}", "rules.not_one_of"),
        ("kind: threshold\nselect: {type: WaterLevelObserved}\nlevels: {blue: 1}", "rules.limit_without_value"),
        (
            "kind: threshold\nselect: {type: WaterLevelObserved}\nvalue: waterLevel\nlevels: {blue: {at: 1, clear: 2}}",
            "rules.clear_beyond_limit",
        ),
        (
            "kind: threshold\nselect: {type: Pump}\nvalue: flowRate\nlevels: {blue: 1}\nwhen: flowRate > 1",
            "rules.levels_and_when",
        ),
        (
            "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel + 1\nseverity: red",
            "rules.expression_wrong_type",
        ),
        ("kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel > 1", "rules.not_one_of"),
        (
            "kind: window\nselect: {type: WaterLevelObserved}\nof: siteCategory\nover: 1h\nlevels: {blue: 1}",
            "rules.property_wrong_kind",
        ),
        (
            "kind: window\nselect: {type: WaterLevelObserved}\nof: waterLevel\nover: 90d\nlevels: {blue: 1}",
            "rules.window_too_long",
        ),
        (
            "kind: rate\nselect: {type: WaterLevelObserved}\nof: waterLevel\nover: 1h\nlevels: {blue: 1}",
            "document.missing_key",
        ),
        ("kind: absence\nselect: {type: Pump}\nlevels: {blue: 1h, red: 5m}", "rules.levels_out_of_order"),
        ("kind: absence\nselect: {type: Pump}\nlevels: {blue: 0s}", "rules.duration_zero"),
        (
            "kind: geofence\nselect: {type: Vehicle}\nevent: enter\nseverity: red\narea: {file: areas/x.geojson}",
            "rules.file_unknown",
        ),
        (
            "kind: geofence\nselect: {type: Vehicle}\nevent: enter\nseverity: red\narea: {polygon: {type: Point}}",
            "rules.area_broken",
        ),
        ("kind: geofence\nselect: {type: Vehicle}\nevent: enter\nseverity: red\narea: {}", "rules.area_one_of"),
        (
            "kind: pattern\nseverity: red\nwithin: 5m\nsteps: [{name: a, type: Pump, when: flowRate > 1}]",
            "rules.steps_wrong",
        ),
        ("kind: pattern\nselect: {type: Pump}\nseverity: red\nwithin: 5m\nsteps: []", "rules.pattern_select"),
        (
            "kind: derive\nselect: {type: WaterLevelObserved}\nproperty: waterLevel\nvalue: waterLevel + 1",
            "rules.derive_cycle",
        ),
        (
            THRESHOLD + "\ncommands: [{target: {type: Pump, where: waterLevel = 1}, name: x, approval: person}]",
            "rules.target_where",
        ),
        (
            THRESHOLD + "\ncommands: [{target: this, name: x}]",
            "document.missing_key",
        ),
    ],
)
def test_mistakes_of_each_kind(kit, body, code):
    found = problems(kit, kit.rule(body))
    assert code in [one.code for one in found]
    assert all(one.line > 0 and one.file == "rules/a.yaml" for one in found)


def test_every_problem_has_a_sentence_in_both_languages(kit):
    for one in problems(kit, kit.rule("kind: threshold\nselect: {type: Nothing}")):
        assert render(one.code, one.params, "en") != one.code
        assert render(one.code, one.params, "zh") != render(one.code, one.params, "en")


def test_derived_properties_in_a_circle_are_refused(kit):
    text = """rules:
  - {id: a, kind: derive, select: {type: AirQualityObserved}, property: pm10, value: pm25 * 2}
  - {id: b, kind: derive, select: {type: AirQualityObserved}, property: pm25, value: pm10 / 2}
"""
    assert [one.code for one in problems(kit, text)] == ["rules.derive_cycle"]


def test_an_id_may_stand_once(kit):
    text = """rules:
  - {id: a, kind: derive, select: {type: AirQualityObserved}, property: pm10, value: pm25 * 2}
  - {id: a, kind: derive, select: {type: AirQualityObserved}, property: no2, value: pm25 / 2}
"""
    assert [(one.code, one.line) for one in problems(kit, text)] == [("rules.id_twice", 3)]


@pytest.mark.parametrize("points", ["[[0, 0]]", "[[1, 0], [0, 1]]", "[[0, 0], [1]]", "[[0, 0], [.nan, 1]]"])
def test_broken_tables_are_refused(kit, points):
    text = f"tables:\n  - {{id: t, edition: 'x', points: {points}}}\n"
    assert [one.code for one in problems(kit, text)] == ["rules.table_points"]


def test_texts_and_commands_do_not_change_what_a_rule_judges_by(kit):
    base = "kind: threshold\nselect: {type: WaterLevelObserved}\nwhen: waterLevel > 1\nseverity: red"
    one = kit.parse(kit.rule(base)).rules[0]
    reworded = kit.parse(kit.rule(base + "\ndescription: new")).rules[0]
    stricter = kit.parse(kit.rule(base.replace("> 1", "> 2"))).rules[0]
    assert one.state_version == reworded.state_version != stricter.state_version
    assert one.version != reworded.version


MANY = """rules:
  - {id: a, kind: threshold, select: {type: WaterLevelObserved, id: "urn:x:1"}, value: waterLevel, LEVELS}
  - {id: b, kind: threshold, select: {type: WaterLevelObserved, id: "urn:x:2"}, value: waterLevel, LEVELS}
  - {id: c, kind: threshold, select: {type: WaterLevelObserved, id: "urn:x:*"}, value: waterLevel, LEVELS}
  - {id: d, kind: threshold, select: {type: WaterLevelObserved}, value: waterLevel, LEVELS}
  - {id: e, kind: threshold, select: {type: WaterLevelObserved}, value: waterLevel, LEVELS}
"""
LEVELS = "levels: {blue: 1, red: {at: 2, hold: 5s}}, category: flood, headline: 'x {value}', max_age: 2h"


def test_of_rules_that_say_the_same_each_is_as_if_it_stood_alone(kit):
    text = MANY.replace("LEVELS", LEVELS)
    together = kit.parse(text).rules
    for number, line in enumerate(text.splitlines()[1:]):
        (alone,) = kit.parse("rules:\n" + "\n" * number + line + "\n").rules
        for name in alone.__struct_fields__:
            if name not in ("condition", "headline"):
                assert getattr(together[number], name) == getattr(alone, name), name
        assert repr(together[number].headline) == repr(alone.headline)
    assert together[0].condition is together[1].condition
    assert [rule.select.exact_id for rule in together] == ["urn:x:1", "urn:x:2", None, None, None]
    assert [rule.line for rule in together] == [2, 3, 4, 5, 6]


def test_what_is_wrong_with_rules_that_say_the_same_is_said_of_each(kit):
    found = problems(kit, MANY.replace("LEVELS", LEVELS.replace("red", "rde")))
    assert [(one.code, one.line) for one in found] == [("document.unknown_key", line) for line in range(2, 7)]


def test_a_name_that_is_none_is_refused_among_rules_that_say_the_same(kit):
    text = MANY.replace("LEVELS", LEVELS).replace("id: b", "id: B!").replace("id: e", "id: 5")
    assert [(one.code, one.line) for one in problems(kit, text)] == [
        ("rules.id_malformed", 3),
        ("document.wrong_kind", 6),
    ]
