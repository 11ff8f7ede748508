"""Duplicates, corrections, late readings, bounds, and taking back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import Columns, Reading, SeriesCatalogue, duplicates_rows, kernels
from gulou.connectivity.intake.duplicates import RecentReadings
from gulou.connectivity.intake.duplicates_rows import RecentRows, words_of


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


KERNELS = ("place_of", "find_place", "file_older", "note_rows", "remove_place", "undo_rows", "rehash")


@pytest.fixture(params=["as built", "plain"], scope="module")
def way(request):
    """Runs a test with the kernels as they are here, and with those of a machine without a compiler."""
    with pytest.MonkeyPatch.context() as patch:
        wanted = KERNELS if request.param == "plain" else ()
        for name in wanted:
            plain = getattr(getattr(kernels, name), "py_func", getattr(kernels, name))
            patch.setattr(kernels, name, plain)
            patch.setattr(duplicates_rows, name, plain, raising=False)
        yield request.param


def test_a_plain_kernel_is_what_the_fixture_puts_in(way):
    assert hasattr(duplicates_rows.note_rows, "py_func") == (
        way == "as built" and hasattr(kernels.screen_rows, "py_func")
    )


ENTITIES = "abc"
one_event = st.tuples(
    st.sampled_from(["row", "object"]),
    st.sampled_from(ENTITIES),
    st.integers(1, 6),
    st.sampled_from([1.0, 2.0, 0.0, -0.0]),
)
steps = st.lists(
    st.one_of(
        st.lists(one_event, max_size=12),  # one commit
        st.lists(one_event, max_size=12).map(tuple),  # one commit that fails
        st.sampled_from(ENTITIES),  # a series gets its number
    ),
    max_size=12,
)


def play(recent, series, commit):
    """Note one commit, rows and objects in runs as they stand; return each one's verdict."""
    words = {0: None, 1: "duplicate", 2: "corrected"}
    verdicts = []
    for way, entity, second, value in commit:
        reading = at(second, value, entity)
        number = series.find(reading.entity_id, "p")
        if way == "row" and number is not None:
            row = Columns(np.array([number], np.int32), np.array([second]), np.array([value]))
            verdicts.append(words[int(recent.note_columns(row)[0])])
        else:
            verdicts.append(recent.note(reading))
    return verdicts


@settings(max_examples=150, deadline=None)
@given(steps)
def test_rows_and_objects_share_one_memory(way, sequence):
    series, known = SeriesCatalogue(), {}
    recent = RecentReadings(1_000, 1_000, series)
    for step in sequence:
        if isinstance(step, str):
            series.number_of(f"urn:x:{step}", "T", "p")
            continue
        recent.begin()
        held, expected = dict(known), []
        for _, entity, second, value in step:
            earlier = held.get((entity, second))
            expected.append({None: None, value: "duplicate"}.get(earlier, "corrected"))
            held[entity, second] = value
        assert play(recent, series, step) == expected
        if isinstance(step, tuple):
            recent.undo()
        else:
            known = held


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from([1.0, 2.0])), max_size=60)))
def test_rows_of_one_batch_agree_with_a_memory_of_everything(way, batches):
    recent, known = RecentRows(100_000), {}
    for batch in batches:
        expected = []
        for number, second, value in batch:
            earlier = known.get((number, second))
            expected.append({None: 0, value: 1}.get(earlier, 2))
            known[number, second] = value
        series, times, values = (np.array([row[i] for row in batch]) for i in range(3))
        recent.begin()
        got = recent.note(series.astype(np.int32), times.astype(np.int64), words_of(values.astype(np.float64)))
        assert np.where(got == kernels.LATE_NEWS, 0, got).tolist() == expected


def rows_of(first, count, step=1):
    """Rows of eight series, each a second later than the one before."""
    number = np.arange(first, first + count * step, step)
    return (number % 8).astype(np.int32), number.astype(np.int64), number.astype(np.float64)


def note(recent, rows):
    series, times, values = rows
    recent.begin()
    return recent.note(series, times, words_of(values))


def test_what_a_gateway_sends_again_after_a_crash_is_known(way):
    recent = RecentRows(1_000)
    for first in range(0, 4_000, 100):
        note(recent, rows_of(first, 100))
    assert (note(recent, rows_of(3_500, 500)) == kernels.DUPLICATE).all()
    assert (note(recent, rows_of(0, 100)) == kernels.LATE_NEWS).all(), "too far back to be known"
    assert recent.size() <= 1_000 + 2 * 100


def test_a_large_failed_commit_leaves_no_trace(way):
    recent = RecentRows(100_000)
    note(recent, rows_of(0, 1_000))
    note(recent, rows_of(500, 3_000))
    recent.undo()
    assert recent.size() == 1_000 - 8
    assert (note(recent, rows_of(0, 1_000)) == kernels.DUPLICATE).all()
    assert (note(recent, rows_of(1_000, 2_500)) == kernels.NEWS).all()


def test_a_correction_that_was_undone_is_a_correction_again(way):
    recent = RecentRows(100)
    one = (np.zeros(2, np.int32), np.array([5, 9], np.int64), np.array([1.0, 1.0]))
    other = (np.zeros(2, np.int32), np.array([5, 9], np.int64), np.array([2.0, 2.0]))
    note(recent, one)
    for _ in range(2):
        assert note(recent, other).tolist() == [kernels.CORRECTED, kernels.CORRECTED]
        recent.undo()
    assert note(recent, one).tolist() == [kernels.DUPLICATE, kernels.DUPLICATE]
