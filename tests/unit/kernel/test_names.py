"""Names found by their hashes: all that are there, none that is not, also where hashes are alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import names as module
from gulou.kernel.compiled import COMPILED
from gulou.kernel.names import HashedNames, hash_names

NAMES = st.lists(st.text(max_size=12), max_size=60)


@given(held=NAMES, asked=NAMES)
def test_a_name_is_found_by_its_hash_wherever_it_stands(held, asked):
    names = HashedNames(hash_names(held))
    for name in [*held, *asked]:
        found = [number for number in names.candidates(name) if held[number] == name]
        assert found == [number for number, one in enumerate(held) if one == name]
    first = names.first_candidates([*held, *asked]).tolist()
    assert first == [next(names.candidates(name), -1) for name in [*held, *asked]]


def test_names_with_one_hash_are_all_offered_the_lowest_first():
    held = ["north", "south", "west"]
    wanted = int(hash_names(["south"])[0])
    names = HashedNames(np.full(3, wanted, np.int64))
    assert list(names.candidates("south")) == [0, 1, 2]
    assert list(names.candidates("north")) == []
    assert names.first_candidates(held).tolist() == [-1, 0, -1]


def test_no_names_are_no_names():
    assert list(HashedNames(hash_names([])).candidates("pump")) == []


@pytest.mark.skipif(not COMPILED, reason="there is nothing to compare without numba")
@given(names=NAMES)
def test_a_hash_is_the_same_without_a_compiler(names):
    for name in names:
        data = np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
        plain = module.hash_bytes.py_func(data, 0, len(data), module.BEGIN)
        assert plain == hash_names([name])[0]
        half = len(data) // 2
        assert plain == module.hash_bytes(data, half, len(data), module.hash_bytes(data, 0, half, module.BEGIN))
        assert 0 <= plain < 1 << 38
