"""The data directory, as it is made."""

from __future__ import annotations

import stat

from gulou.cli.place import Place


def test_a_new_data_directory_is_its_owners_alone(tmp_path):
    place = Place(tmp_path / "deep" / "data")
    place.hold()
    place.release()
    assert stat.S_IMODE(place.root.stat().st_mode) == 0o700
