"""Large writes go to the disk piece by piece, and say what they were given."""

import os

import pytest

from gulou.kernel import writing


@pytest.mark.parametrize("sizes", [(), (0,), (5,), (8, 3 * 512 * 1024 + 7), (512 * 1024, 512 * 1024 + 1)])
def test_what_is_written_is_what_was_given(tmp_path, monkeypatch, sizes):
    pauses = []
    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    parts = [os.urandom(size) for size in sizes]

    with (tmp_path / "file").open("wb") as file:
        writing.write_evenly(file, parts)

    assert (tmp_path / "file").read_bytes() == b"".join(parts)
    assert len(pauses) == sum(max(0, (size - 1) // (512 * 1024)) for size in sizes)


def test_each_piece_is_handed_over_once(tmp_path, monkeypatch):
    handed = []
    monkeypatch.setattr(writing.os, "posix_fadvise", lambda _, offset, length, advice: handed.append(offset))
    monkeypatch.setattr(writing.time, "sleep", lambda _: None)

    with (tmp_path / "file").open("wb") as file:
        writing.write_evenly(file, (b"head", bytes(1024 * 1024)))

    assert handed == [0, 4, 4 + 512 * 1024]


def test_a_system_without_the_hint_writes_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_CAN_HINT", False)
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert writing.write_out_path(path) == 5
