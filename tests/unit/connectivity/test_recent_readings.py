"""Duplicates, corrections, late readings, bounds, and taking back."""

from hypothesis import given
from hypothesis import strategies as st

from gulou.connectivity.intake import Reading
from gulou.connectivity.intake.duplicates import RecentReadings


def at(second, value=1.0, entity="a"):
    return Reading(f"urn:x:{entity}", "T", "p", value, second)


def test_news_duplicate_correction():
    recent = RecentReadings(100, 100)
    notes = [recent.note(r) for r in (at(1), at(1), at(1, 2.0), at(1, 2.0), at(1, 1.0), at(2))]
    assert notes == [None, "duplicate", "corrected", "duplicate", "corrected", None]


def test_late_readings_are_news_once():
    recent = RecentReadings(100, 100)
    notes = [recent.note(r) for r in (at(9), at(3), at(3), at(3, 5.0), at(9), at(4))]
    assert notes == [None, None, "duplicate", "corrected", "duplicate", None]


def test_structured_values_are_compared_by_content():
    recent = RecentReadings(100, 100)
    point = {"type": "Point", "coordinates": [1.0, 2.0]}
    notes = [recent.note(at(1, value)) for value in (point, dict(point), {"type": "Point", "coordinates": [1.0, 3.0]})]
    assert notes == [None, "duplicate", "corrected"]


def test_long_texts_are_compared_without_being_kept():
    recent = RecentReadings(100, 100)
    assert [recent.note(at(1, "x" * 10_000)) for _ in range(2)] == [None, "duplicate"]


def test_memory_is_bounded_and_the_newest_is_always_known():
    recent = RecentReadings(10, 10)
    for second in range(1_000):
        recent.note(at(second))
    assert recent.note(at(999)) == "duplicate"
    assert recent.note(at(996)) == "duplicate"
    assert recent.note(at(2)) is None
    for entity in range(1_000):
        recent.note(at(1, entity=str(entity)))
    assert len(recent._young) + len(recent._old) <= 10
    assert len(recent._series) + len(recent._older_series) <= 10


events = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1.0, 2.0]), st.sampled_from("ab")), max_size=40)


@given(before=events, failed=events, after=events)
def test_what_is_undone_leaves_no_trace(before, failed, after):
    touched, untouched = RecentReadings(1_000, 1_000), RecentReadings(1_000, 1_000)
    for recent in (touched, untouched):
        recent.warm(at(*event) for event in before)
    touched.begin()
    for event in failed:
        touched.note(at(*event))
    touched.undo()
    assert [touched.note(at(*event)) for event in after] == [untouched.note(at(*event)) for event in after]


@given(events)
def test_it_agrees_with_a_memory_of_everything(sequence):
    recent, known = RecentReadings(1_000, 1_000), {}
    for second, value, entity in sequence:
        earlier = known.get((entity, second))
        expected = {None: None, value: "duplicate"}.get(earlier, "corrected")
        assert recent.note(at(second, value, entity)) == expected
        known[entity, second] = value
