"""What the doctor says about who else can read the data directory."""

from __future__ import annotations

import pytest

from gulou.cli.doctor import examine
from gulou.cli.place import Place


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / "data")
    place.root.mkdir()
    place.records.touch()
    return place


@pytest.mark.parametrize(
    ("directory", "records", "exposed"),
    [
        (0o700, 0o644, ""),
        (0o750, 0o644, ""),
        (0o711, 0o640, ""),
        (0o711, 0o644, "records.db"),
        (0o755, 0o600, "data"),
    ],
)
def test_a_directory_or_database_that_everybody_can_read_is_a_warning(place, directory, records, exposed):
    place.records.chmod(records)
    place.root.chmod(directory)
    found = [one for one in examine(place, 0, 0) if one.check == "privacy"]
    assert [(one.state, one.detail.split(" ")[0].rpartition("/")[2]) for one in found] == [("warn", exposed)] * bool(
        exposed
    )
    assert all(str(place.root) in one.mend for one in found)
