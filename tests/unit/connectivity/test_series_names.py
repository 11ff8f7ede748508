"""Which number stands for a property of an entity: the same whether it was there at the start or came later."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.connectivity.intake import SeriesCatalogue
from gulou.connectivity.intake import series as series_module
from gulou.connectivity.intake.series_names import SeriesNames


@dataclass(frozen=True)
class One:
    entity_id: str
    property: str


ONES = st.builds(
    One, st.sampled_from([f"urn:ngsi-ld:WaterLevelObserved:{n}" for n in range(8)]), st.sampled_from("abc")
)


@given(named=st.lists(ONES, unique=True), count=st.integers(0, 24), asked=st.lists(ONES))
def test_names_from_the_start_and_later_ones_are_found_alike(named, count, asked):
    count = min(count, len(named))
    known = named[:count]
    names = SeriesNames(known)
    names.begin(count)
    known += named[count:]
    names.add(count, named[count:])
    numbers = {one: number for number, one in enumerate(named)}
    for name in "abc":
        ids = [one.entity_id for one in asked]
        assert names.find_many(ids, name).tolist() == [numbers.get(One(entity_id, name), -1) for entity_id in ids]
    for one in [*asked, *asked, *named]:
        assert names.find(one.entity_id, one.property) == numbers.get(one)


class Alike(str):
    """A name whose hash is that of every other."""

    __slots__ = ()

    def __hash__(self):
        return 7


def test_names_with_one_hash_are_told_apart():
    known = [One(Alike("north"), "level"), One(Alike("south"), "level"), One(Alike("north"), "flow")]
    names = SeriesNames(known)
    names.begin(3)
    found = [names.find(Alike(place), name) for place in ("north", "south", "west") for name in ("level", "flow")]
    assert found == [0, 2, 1, None, None, None]
    places = [Alike(place) for place in ("west", "south", "north")]
    assert names.find_many(places, "level").tolist() == [-1, 1, 0]
    assert names.find_many(places, "flow").tolist() == [-1, -1, 2]


@pytest.mark.parametrize("many", [0, 1_000])
def test_a_catalogue_goes_on_after_a_restart_however_many_it_begins_with(tmp_path, monkeypatch, many):
    monkeypatch.setattr(series_module, "_MANY", many)
    wanted = [(f"urn:ngsi-ld:Pump:{n % 20}", "Pump", f"p{n % 3}", f"pump-{n}") for n in range(100)]
    first = SeriesCatalogue(tmp_path / "series")
    numbers = first.numbers_of(wanted[:60])
    first.sync()
    first.close()
    again = SeriesCatalogue(tmp_path / "series")
    other = SeriesCatalogue(tmp_path / "series", readonly=True)
    assert again.numbers_of(wanted[:60]) == numbers
    more = again.numbers_of(wanted)
    assert [again.find(one[0], one[2]) for one in wanted] == more
    again.sync()
    other.refresh()
    assert [other.find(one[0], one[2]) for one in wanted] == more
    assert [other.get(number).entity_id for number in more] == [one[0] for one in wanted]
    again.close()
