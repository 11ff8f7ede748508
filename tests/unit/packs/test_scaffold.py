"""A new pack: works as it is, and never overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest

from gulou.kernel.errors import Conflict, Invalid
from gulou.packs import load_pack, scaffold_pack
from gulou.vocabulary import Vocabulary


def test_a_new_pack_checks_clean(tmp_path: Path) -> None:
    root = scaffold_pack("harbour", tmp_path)

    pack = load_pack(root, Vocabulary.load())

    assert root == tmp_path / "harbour"
    assert pack.manifest.name == "harbour"
    assert (len(pack.rules.rules), len(pack.mappings), len(pack.stories)) == (1, 1, 1)


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    root = scaffold_pack("harbour", tmp_path)

    texts = [path.read_text(encoding="utf-8") for path in root.rglob("*") if path.is_file()]

    assert texts
    assert not [text for text in texts if "@name@" in text]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    mine = tmp_path / "harbour" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine", encoding="utf-8")

    with pytest.raises(Conflict) as caught:
        scaffold_pack("harbour", tmp_path)

    assert caught.value.code == "pack.exists"
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["", "Harbour", "1st", "a/b", "../up", "a b", "a_b", "港口", "a" * 65, "-a", "a\n"])
def test_a_bad_name_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        scaffold_pack(name, tmp_path / "into")

    assert caught.value.code == "pack.bad_name"
    assert not (tmp_path / "into").exists()


def test_the_folder_to_write_in_is_made(tmp_path: Path) -> None:
    assert scaffold_pack("a" * 64, tmp_path / "new" / "folder").is_dir()
