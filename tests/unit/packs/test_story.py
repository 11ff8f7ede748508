"""The story reader: moments in order, straight lines, and complaints with line and column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel.clock import from_rfc3339
from gulou.kernel.documents import Problem, problems_of
from gulou.kernel.errors import Invalid
from gulou.packs import Story, read_story
from gulou.packs.story import read_duration_s

START_US = from_rfc3339("2026-07-01T08:00:00+08:00")
HEAD = "story: {en: A story, zh: 故事}\nstart: 2026-07-01T08:00:00+08:00\n"
GAUGE = "urn:ngsi-ld:WaterLevelObserved:g1"


def read(steps: str, head: str = HEAD) -> Story:
    return read_story(f"{head}steps:\n{steps}", "cases/s/story.yaml", "s")


def series(to: str, values: str, every: str = "10s") -> str:
    return f'  - {{every: {every}, from: 0s, to: {to}, send: {{"{GAUGE}": {values}}}}}\n'


def refused(text: str) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        read_story(text, "cases/s/story.yaml", "s")
    return problems_of(caught.value)


def seconds(story: Story) -> list[float]:
    return [(moment.at_us - START_US) / 1e6 for moment in story.moments]


def test_times_are_relative_to_the_start() -> None:
    story = read(f'  - {{at: 90s, send: {{"{GAUGE}": {{waterLevel: 1}}}}}}\n')

    assert story.start_us == START_US
    assert seconds(story) == [90.0]
    assert story.moments[0].send == {GAUGE: {"waterLevel": 1}}
    assert (story.name, story.title["zh"], story.tick_us) == ("s", "故事", 1_000_000)


def test_moments_are_played_in_order_of_time_and_steps_of_one_instant_in_order_of_the_file() -> None:
    story = read("  - {at: 20s, note: b}\n  - {at: 10s}\n  - {at: 20s}\n")

    assert [moment.line for moment in story.moments] == [5, 4, 6]


def test_a_series_has_both_its_ends() -> None:
    story = read("  - {every: 10s, from: 1m, to: 2m}\n")

    assert seconds(story) == [60, 70, 80, 90, 100, 110, 120]


def test_a_series_of_tenths_has_its_end_too() -> None:
    assert seconds(read("  - {every: 100ms, from: 0s, to: 300ms}\n")) == [0, 0.1, 0.2, 0.3]


def test_a_ramp_is_a_straight_line_from_end_to_end() -> None:
    story = read(series("40s", "{waterLevel: {from: 2, to: 1}, salinity: 0.5}"))

    assert [moment.send[GAUGE]["waterLevel"] for moment in story.moments] == [2, 1.75, 1.5, 1.25, 1]
    assert {moment.send[GAUGE]["salinity"] for moment in story.moments} == {0.5}


def test_a_series_of_one_moment_is_the_end_of_its_ramp() -> None:
    story = read(f'  - {{every: 10s, from: 5s, to: 5s, send: {{"{GAUGE}": {{waterLevel: {{from: 2, to: 1}}}}}}}}\n')

    assert [moment.send[GAUGE]["waterLevel"] for moment in story.moments] == [1]


@given(first=st.floats(-1e6, 1e6), last=st.floats(-1e6, 1e6), every=st.integers(1, 60), count=st.integers(1, 50))
def test_a_ramp_begins_and_ends_where_it_says(first: float, last: float, every: int, count: int) -> None:
    story = read(series(f"{every * count}s", f"{{v: {{from: {first:f}, to: {last:f}}}}}", every=f"{every}s"))

    values = [moment.send[GAUGE]["v"] for moment in story.moments]

    assert len(values) == count + 1
    assert values[0] == pytest.approx(first, abs=1e-5)
    assert values[-1] == pytest.approx(last, abs=1e-5)
    assert values == sorted(values, reverse=values[0] > values[-1])


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 0.25), ("90s", 90), ("1.5h", 5400), ("5m", 300), ("2d", 172_800)]
)
def test_durations(text: str, expected: float) -> None:
    assert read_duration_s(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5M", "1h30m", "١s", None, 5])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(Invalid) as caught:
        read_duration_s(text)

    assert caught.value.code == "story.duration_unreadable"


BROKEN = [
    ("steps:\n  - {at: soon}\n", ("story.duration_unreadable", 4, 10)),
    ("steps:\n  - {send: {}}\n", ("story.duration_unreadable", 4, 5)),
    ("steps:\n  - {every: 0s, from: 0s, to: 1m}\n", ("story.series_wrong", 4, 5)),
    ("steps:\n  - {every: 1s, from: 2m, to: 1m}\n", ("story.series_wrong", 4, 5)),
    ("steps:\n  - {every: 1ms, from: 0s, to: 1d}\n", ("story.series_wrong", 4, 5)),
    ("steps:\n  - {at: 1s, sent: {}}\n", ("document.unknown_key", 4, 20)),
    ("steps:\n  - at: 1s\n    expect:\n      - waning: {}\n", ("document.unknown_key", 6, 17)),
    ("steps:\n  - at: 1s\n    do:\n      - aprove: {}\n", ("document.unknown_key", 6, 17)),
    ("steps:\n  - at: 1s\n    expect:\n      - warning: {servity: red}\n", ("document.unknown_key", 6, 28)),
    ("steps:\n  - at: 1s\n    expect:\n      - value: {entity: a}\n", ("document.missing_key", 6, 16)),
    ("steps:\n  - at: 1s\n    do:\n      - approve: {device: p}\n", ("document.unknown_key", 6, 27)),
    ("steps:\n  - at: 1s\n    expect:\n      - warning: red\n", ("document.wrong_kind", 6, 18)),
    ("steps:\n  - at: 1s\n    expect: {warning: {}}\n", ("document.wrong_kind", 5, 13)),
    ("steps: 5\n", ("document.wrong_kind", 3, 8)),
    ("", ("document.wrong_kind", 1, 1)),
    ("given: [a]\nsteps: []\n", ("document.wrong_kind", 3, 8)),
    ("given:\n  entities: [a]\nsteps: []\n", ("document.wrong_kind", 4, 14)),
    ("given:\n  entities:\n    - {type: Pump}\nsteps: []\n", ("document.missing_key", 5, 7)),
    ("given:\n  devices:\n    - {id: a}\nsteps: []\n", ("document.missing_key", 5, 7)),
    (f"steps:\n  - {{at: 1s, send: {{'{GAUGE}': 5}}}}\n", ("document.wrong_kind", 4, 58)),
    (
        f"steps:\n  - {{every: 1s, from: 0s, to: 9s, send: {{'{GAUGE}': {{v: {{from: a, to: 1}}}}}}}}\n",
        ("document.wrong_kind", 4, 83),
    ),
]


@pytest.mark.parametrize(("text", "expected"), BROKEN, ids=[f"{code}-{n}" for n, (_, (code, *_)) in enumerate(BROKEN)])
def test_a_mistake_is_named_with_line_and_column(text: str, expected: tuple[str, int, int]) -> None:
    first = refused(HEAD + text)[0]

    assert (first.code, first.line, first.column) == expected
    assert first.file == "cases/s/story.yaml"


def test_a_mistyped_expectation_names_the_nearest() -> None:
    assert refused(f"{HEAD}steps:\n  - at: 1s\n    expect:\n      - waning: {{}}\n")[0].params["nearest"] == "warning"


@pytest.mark.parametrize("start", ["2026-07-01T08:00:00", "yesterday", "[1]"])
def test_a_start_without_zone_or_sense_is_refused(start: str) -> None:
    first = refused(f"story: {{en: s}}\nstart: {start}\nsteps: []\n")[0]

    assert (first.line, first.column) == (2, 8)


def test_all_mistakes_are_found_at_once() -> None:
    text = HEAD + "tick: slow\nstep: []\nsteps:\n  - {at: soon}\n  - {at: 1s, sent: {}}\n"

    assert [one.line for one in sorted(refused(text), key=lambda one: one.line)] == [3, 4, 6, 7]


def test_a_story_of_too_many_moments_is_refused() -> None:
    text = HEAD + "steps:\n" + "  - {every: 1s, from: 0s, to: 4h}\n" * 2

    assert [one.code for one in refused(text)] == ["story.too_long"]
