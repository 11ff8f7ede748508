"""The documents say what is true: links lead somewhere, commands exist, the glossary is bilingual."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "packs/**/*.md", "console/README.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not t.startswith("mailto:") and not (page.parent / t).exists()]
    assert missing == []


def test_the_glossary_gives_each_term_in_english_and_chinese() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| Term")
    ]
    assert len(rows) >= 40
    wrong = [row for row in rows if len(row) != 3 or not re.search(r"[\u4e00-\u9fff]", row[1]) or len(row[2]) < 10]
    assert wrong == []


def test_decisions_are_numbered_without_gaps_and_say_their_status() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    wanted = ("## Context", "## Decision", "## Consequences", "Status:")
    assert [
        path.name for path in decisions if not all(word in path.read_text(encoding="utf-8") for word in wanted)
    ] == []
