"""Which number stands for a property of an entity: the same whether it was there at the start or came later."""

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.connectivity.intake import Series, SeriesCatalogue
from gulou.connectivity.intake import series as series_module
from gulou.connectivity.intake import series_rows as rows_module
from gulou.connectivity.intake.series_names import SeriesNames
from gulou.connectivity.intake.series_rows import read_rows
from gulou.kernel.compiled import COMPILED
from gulou.kernel.names import HashedNames, hash_names

compiled_only = pytest.mark.skipif(not COMPILED, reason="without numba every series is an object from the start")


@dataclass(frozen=True)
class One:
    entity_id: str
    property: str


ONES = st.builds(
    One, st.sampled_from([f"urn:ngsi-ld:WaterLevelObserved:{n}" for n in range(8)]), st.sampled_from("abc")
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=400)
SERIES = st.lists(st.tuples(TEXTS, st.sampled_from(["Pump", "雨量站", ""]), TEXTS, st.none() | TEXTS), max_size=40)


@given(named=st.lists(ONES, unique=True), count=st.integers(0, 24), asked=st.lists(ONES))
def test_names_from_the_start_and_later_ones_are_found_alike(named, count, asked):
    count = min(count, len(named))
    names = SeriesNames(named.__getitem__)
    names.begin(HashedNames(hash_names([one.entity_id + one.property for one in named[:count]])))
    names.add(count, named[count:])
    numbers = {one: number for number, one in enumerate(named)}
    for name in "abc":
        ids = [one.entity_id for one in asked]
        assert names.find_many(ids, name).tolist() == [numbers.get(One(entity_id, name), -1) for entity_id in ids]
    for one in [*asked, *asked, *named]:
        assert names.find(one.entity_id, one.property) == numbers.get(one)


def test_names_with_one_hash_are_told_apart():
    known = [One("north", "level"), One("south", "level"), One("north", "flow")]
    names = SeriesNames(known.__getitem__)
    wanted = int(hash_names(["southlevel"])[0])
    names.begin(HashedNames(np.full(3, wanted, np.int64)))
    assert [names.find("south", name) for name in ("level", "flow")] == [1, None]
    assert names.find_many(["south", "west"], "level").tolist() == [1, -1]
    assert names.find_many(["north", "south"], "flow").tolist() == [-1, -1]


@compiled_only
@given(wanted=SERIES, cut=st.integers(1, 20), first=st.sampled_from([0, 0, 0, 1]))
def test_rows_are_the_series_of_the_file(wanted, cut, first):
    series = [Series(number, *one) for number, one in enumerate(wanted, first)]
    bodies = [msgspec.msgpack.encode(series[at : at + cut]) for at in range(0, len(series), cut)]
    rows = read_rows(bodies)
    if first or not series:
        assert rows is None  # numbers that do not begin at 0 are not for this way
        return
    assert [rows[number] for number in range(len(rows))] == series
    assert [rows.kinds[kind] for kind in rows.kind_of] == [(one.entity_type, one.property) for one in series]
    assert rows.kinds == list(dict.fromkeys((one.entity_type, one.property) for one in series))
    for one in series:
        assert one.number in list(rows.names.candidates(one.entity_id + one.property))


@compiled_only
@given(wanted=SERIES.filter(bool), data=st.data())
def test_bodies_that_are_not_as_expected_are_left_to_the_decoder(wanted, data):
    body = bytearray(msgspec.msgpack.encode([Series(number, *one) for number, one in enumerate(wanted)]))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    rows = read_rows([bytes(body)])  # whatever it holds: no crash, nothing outside
    for number in range(0 if rows is None else len(rows)):
        begin, length = int(rows._places[number]), int(rows._lengths[number])
        assert 0 <= begin <= begin + length <= len(body)


@compiled_only
@given(wanted=SERIES.filter(bool))
def test_rows_are_the_same_without_a_compiler(wanted):
    body = msgspec.msgpack.encode([Series(number, *one) for number, one in enumerate(wanted)])
    joined, begins, ends = np.frombuffer(body, np.uint8), np.zeros(1, np.int64), np.array([len(body)], np.int64)
    made = []
    for scan in (rows_module.scan_rows, rows_module.scan_rows.py_func):
        count = len(wanted)
        arrays = [np.zeros(count, kind) for kind in (np.int64, np.int32, np.int64, np.int32)]
        table, kinds = np.zeros(256, np.int32), np.zeros((64, 4), np.int64)
        known = scan(joined, begins, ends, *arrays, table, kinds)
        made.append([known, kinds[:known].tolist(), *(array.tolist() for array in arrays)])
    assert made[0] == made[1]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("many", [0, 100_000])
def test_a_catalogue_goes_on_after_a_restart_however_much_it_begins_with(tmp_path, monkeypatch, many, compiled):
    monkeypatch.setattr(series_module, "_MANY", many)
    monkeypatch.setattr(rows_module, "COMPILED", compiled and COMPILED)
    wanted = [(f"urn:ngsi-ld:Pump:{n % 20}", "Pump", f"p{n % 3}", f"pump-{n}") for n in range(100)]
    first = SeriesCatalogue(tmp_path / "series")
    numbers = first.numbers_of(wanted[:30])
    first.sync()
    numbers = first.numbers_of(wanted[:60])
    first.sync()
    first.close()
    again = SeriesCatalogue(tmp_path / "series")
    other = SeriesCatalogue(tmp_path / "series", readonly=True)
    assert again.numbers_of(wanted[:60]) == numbers
    assert again.get_many(numbers) == first.get_many(numbers)
    assert (again.kinds(), again.kind_count()) == (first.kinds(), first.kind_count())
    assert again.kind_of()[: len(again)].tolist() == first.kind_of()[: len(first)].tolist()
    more = again.numbers_of(wanted)
    assert [again.find(one[0], one[2]) for one in wanted] == more
    again.sync()
    other.refresh()
    assert [other.find(one[0], one[2]) for one in wanted] == more
    assert [other.get(number).entity_id for number in more] == [one[0] for one in wanted]
    assert other.kinds() == again.kinds()
    with pytest.raises(IndexError):
        again.get(len(again))
    again.close()
