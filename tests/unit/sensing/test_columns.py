"""The kernels that read numbers, times and names, held against Python's own: compiled and plain."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from gulou.kernel.clock import from_rfc3339, to_rfc3339
from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.columns import (
    NOT_A_TIME,
    NOT_FOUND,
    NOT_MINE,
    ByteTable,
    hash_bytes,
    parse_number,
    parse_rfc3339,
)
from gulou.sensing.sdk.columns import numbers as number_kernels
from gulou.sensing.sdk.columns import times as time_kernels


def plain(function):
    """Return a kernel as plain Python."""
    return getattr(function, "py_func", function)


BOTH = [parse_number, plain(parse_number)]
BOTH_TIMES = [parse_rfc3339, plain(parse_rfc3339)]


def as_array(data):
    return np.frombuffer(data, np.uint8)


def bits(value):
    return struct.pack("<d", value)


def read_all(function, text):
    """Return the float when the whole text is a number that the kernel takes, else None."""
    data = text.encode()
    end, value = function(as_array(data + b","), 0, len(data))
    return float(value) if end == len(data) else None


decimals = some.builds(
    lambda sign, whole, rest, power: sign + whole + rest + power,
    some.sampled_from(["", "-"]),
    some.one_of(some.just("0"), some.from_regex(r"[1-9][0-9]{0,18}", fullmatch=True)),
    some.one_of(some.just(""), some.from_regex(r"\.[0-9]{1,20}", fullmatch=True)),
    some.one_of(some.just(""), some.from_regex(r"[eE][+-]?[0-9]{1,3}", fullmatch=True)),
)


@pytest.mark.parametrize("function", BOTH)
@given(text=some.one_of(decimals, some.floats(allow_nan=False, allow_infinity=False).map(repr)))
@example(text="9007199254740993")
@example(text="0.9007199254740993")
@example(text="1.0000000000000002")
@example(text="123456789012345678e-22")
@example(text="-0.0")
@example(text="93000000.00000000000")
def test_a_number_is_pythons_number_to_the_last_bit(function, text):
    value = read_all(function, text)
    assert value is None or bits(value) == bits(float(text))


@pytest.mark.parametrize("function", BOTH)
@given(
    value=some.one_of(some.floats(1e-4, 1e12), some.integers(1, 2**53), some.floats(0, 500).map(lambda x: round(x, 3)))
)
def test_what_devices_send_is_nearly_always_mine(function, value):
    found = read_all(function, repr(value))
    assert found == value or len(repr(value).replace(".", "").lstrip("0")) > 16


@pytest.mark.parametrize("function", BOTH)
@pytest.mark.parametrize(
    "text",
    [
        "-",
        "+1",
        ".5",
        "1.",
        "01",
        "00.5",
        "-01",
        "1e",
        "1e+",
        "e5",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x10",
        "-0",
        "1e400",
        "1e-400",
        "1e0023",
        "1234567890123456789",
        "null",
    ],
)
def test_what_is_no_number_or_a_rare_one_is_left_to_others(function, text):
    assert read_all(function, text) is None


@pytest.mark.parametrize("function", BOTH)
def test_a_number_ends_where_its_characters_end(function):
    data = as_array(b'{"a":-12.50e1,"b":7}')
    assert function(data, 5, len(data)) == (13, -125.0)
    assert function(data, 18, len(data)) == (19, 7.0)
    assert function(data, 18, 18)[0] == NOT_MINE


@given(digits=some.integers(2**53 + 1, 10**18), power=some.integers(-22, 22))
def test_eighteen_digits_are_rounded_once_or_left(digits, power):
    for function in (number_kernels._scaled, plain(number_kernels._scaled)):
        sure, value = function(digits, power)
        assert not sure or bits(value) == bits(float(f"{digits}e{power}"))


def python_time(text):
    try:
        return from_rfc3339(text)
    except Invalid:
        return None


@pytest.mark.parametrize("function", BOTH_TIMES)
@given(
    text=some.builds(
        lambda date, mark, clock, part, zone: date + mark + clock + part + zone,
        some.one_of(some.dates().map(str), some.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True)),
        some.sampled_from("TT t"),
        some.one_of(
            some.times().map(lambda time: time.strftime("%H:%M:%S")),
            some.from_regex(r"[0-9]{2}:[0-9]{2}:[0-9]{2}", fullmatch=True),
        ),
        some.one_of(some.just(""), some.from_regex(r"\.[0-9]{0,9}", fullmatch=True)),
        some.one_of(
            some.sampled_from(["Z", "", "z", "+08:00"]), some.from_regex(r"[+-][0-9]{2}:?[0-9]{2}", fullmatch=True)
        ),
    )
)
@example(text="2024-02-29T23:59:59.999999-23:59")
@example(text="1900-02-29T00:00:00Z")
@example(text="0001-01-01T00:00:00+23:59")
def test_a_time_is_pythons_time(function, text):
    data = text.encode()
    found = int(function(as_array(data), 0, len(data)))
    assert found in (NOT_A_TIME, python_time(text))


@pytest.mark.parametrize("function", BOTH_TIMES)
@given(at_us=some.integers(from_rfc3339("0001-01-01T00:00:00Z"), from_rfc3339("9999-12-31T23:59:59Z")))
def test_what_gulou_writes_is_read(function, at_us):
    data = to_rfc3339(at_us).encode()
    assert function(as_array(b"x" + data + b"x"), 1, 1 + len(data)) == at_us


@given(year=some.integers(-5, 10_005), month=some.integers(-1, 14), day=some.integers(-1, 33))
def test_compiled_and_plain_days_agree(year, month, day):
    assert time_kernels._days(year, month, day) == plain(time_kernels._days)(year, month, day)


@given(
    keys=some.dictionaries(some.tuples(some.binary(max_size=12), some.integers(0, 3)), some.integers(0, 9), max_size=60)
)
def test_the_table_knows_what_was_put_and_nothing_else(keys):
    table = ByteTable()
    for (key, salt), value in keys.items():
        table.put(key, value, salt)
    assert len(table) == len(keys)
    for (key, salt), value in keys.items():
        assert table.find(key, salt) == value
        assert table.find(key + b"!", salt) == keys.get((key + b"!", salt), NOT_FOUND)
        assert table.find(key, 7) == NOT_FOUND
    for (key, salt), _ in list(keys.items())[::2]:
        table.remove(key, salt)
        assert table.find(key, salt) == NOT_FOUND
    assert len(table) == len(keys) // 2


@given(
    rounds=some.lists(
        some.lists(some.tuples(some.binary(max_size=12), some.integers(0, 3), some.integers(0, 9)), max_size=700),
        max_size=4,
    )
)
def test_many_keys_at_once_are_put_as_one_by_one(rounds):
    many, single = ByteTable(), ByteTable()
    for rows in rounds:
        data = b"?" + b"".join(key for key, _, _ in rows)
        ends = np.cumsum([1, *(len(key) for key, _, _ in rows)])
        spans = np.column_stack([ends[:-1], ends[1:]]).astype(np.int64)
        salts, values = (np.array([row[column] for row in rows], np.int64) for column in (1, 2))
        many.put_many(as_array(data), spans, values, salts)
        for key, salt, value in rows:
            single.put(key, value, salt)
        assert len(many) == len(single)
        assert all(many.find(key, salt) == single.find(key, salt) >= 0 for key, salt, _ in rows)


def test_of_many_keys_none_is_put_when_one_cannot_be():
    table, spans, none = ByteTable(), np.array([[0, 1], [1, 2]]), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="-1"):
        table.put_many(as_array(b"ab"), spans, np.array([4, -1]), none)
    assert len(table) == 0


def test_keys_with_the_same_hash_are_told_apart(monkeypatch):
    from gulou.sensing.sdk.columns import table as module

    monkeypatch.setattr(module, "hash_bytes", lambda *_: 5)
    for name in ("_slot_of", "_put_all", "find_key"):
        monkeypatch.setattr(module, name, plain(getattr(module, name)))
    table = ByteTable()
    names = [b"a", b"b", b"ab", b"", b"ba"]
    for number, name in enumerate(names):
        table.put(name, number)
    found = [table.find(name) for name in names]
    assert found == list(range(5))


def test_the_table_grows_and_forgets_what_was_removed():
    table = ByteTable()
    for number in range(20_000):
        table.put(b"gulou/sensor-%d/readings" % number, number)
    assert all(table.find(b"gulou/sensor-%d/readings" % number) == number for number in range(20_000))
    table.put(b"gulou/sensor-5/readings", 77)
    assert table.find(b"gulou/sensor-5/readings") == 77
    table.clear()
    assert table.find(b"gulou/sensor-5/readings") == NOT_FOUND


@given(data=some.binary(max_size=40), salt=some.integers(0, 2**31 - 1))
def test_compiled_and_plain_hashes_agree(data, salt):
    assert hash_bytes(as_array(data), 0, len(data), salt) == plain(hash_bytes)(as_array(data), 0, len(data), salt)


def test_without_the_compiler_the_results_are_the_same():
    code = (
        "import numpy as np\n"
        "from gulou.kernel.compiled import COMPILED\n"
        "from gulou.sensing.sdk.columns import ByteTable, parse_number, parse_rfc3339\n"
        "a = lambda b: np.frombuffer(b, np.uint8)\n"
        "t = ByteTable()\n"
        "t.put(b'level', 3, 9)\n"
        "end, value = parse_number(a(b'0.12345678901234567'), 0, 19)\n"
        "at_us = int(parse_rfc3339(a(b'2026-07-01T08:00:00Z'), 0, 20))\n"
        "print(COMPILED, t.find(b'level', 9), int(end), float(value).hex(), at_us)\n"
    )
    environment = os.environ | {"GULOU_COMPILED": "0"}
    made = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    at_us = from_rfc3339("2026-07-01T08:00:00Z")
    assert made.stdout.split() == ["False", "3", "19", float("0.12345678901234567").hex(), str(at_us)]
