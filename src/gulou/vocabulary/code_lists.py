"""Code lists that every package shares: severities, categories, kinds of incident, regions.

The lists themselves are YAML beside this module, each with its edition and source.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from gulou.kernel.documents import Document
from gulou.kernel.errors import Invalid, NotFound

MAX_REGIONS = 1_000_000
_REGION_LENGTHS = (2, 4, 6, 9, 12)


@dataclass(frozen=True)
class Code:
    """One entry of a list.

    Args:
        order: grows with gravity where the list has one, else with the place in the list; from 0.
        properties: what the list adds to an entry, such as ``cap`` or ``colour``.
    """

    code: str
    label: Mapping[str, str]
    order: int
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class CodeList:
    """A list with its edition (a year or a date) and where it comes from."""

    name: str
    label: Mapping[str, str]
    edition: str
    source: str
    codes: Mapping[str, Code]

    def get_code(self, code: str) -> Code:
        """Return an entry. Raises Invalid ``vocabulary.code_unknown``."""
        found = self.codes.get(code)
        if found is None:
            raise Invalid("vocabulary.code_unknown", value=code, list=self.name, allowed=list(self.codes))
        return found

    def find_by(self, name: str, value: Any) -> Code | None:
        """Return the first entry whose property ``name`` is (or, for a list, holds) ``value``."""
        for code in self.codes.values():
            found = code.properties.get(name)
            if found == value or (isinstance(found, list) and value in found):
                return code
        return None

    def highest(self, codes: Iterable[str]) -> str | None:
        """Return the gravest of some codes of this list; None for none."""
        known = [self.get_code(code) for code in codes]
        return max(known, key=lambda code: code.order).code if known else None


@cache
def load_code_lists() -> Mapping[str, CodeList]:
    """Read the built-in lists: ``severity``, ``category``, ``cap_category``, ``incident_kind``, ``event_grade``."""
    folder = resources.files(__package__) / "codes"
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    lists = [
        _read_list(entry.read_text(encoding="utf-8"), entry.name) for entry in entries if entry.name.endswith(".yaml")
    ]
    return {item.name: item for item in lists}


def severities() -> CodeList:
    """Return the four warning colours, blue to red.

    Source: GB/T 35965.1-2018; CAP 1.2 §3.2.2 severity
    """
    return load_code_lists()["severity"]


@dataclass(frozen=True)
class Region:
    """An administrative region in one period of its life.

    Args:
        code: 6 digits (GB/T 2260), or 9 or 12 (GB/T 10114, statistics) below the county.
        valid_from, valid_to: the first day on which it is so, and the first on which it no longer is; None: open.
    """

    code: str
    name: str
    valid_from: date | None = None
    valid_to: date | None = None

    def is_valid_on(self, day: date) -> bool:
        """Tell whether the region existed under this name on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


class RegionList:
    """A dated list of regions; one code may have several periods (renamed, merged).

    Args:
        edition: the day or year up to which the list is kept.

    Source: GB/T 2260-2007 §4
    """

    def __init__(self, edition: str, source: str, regions: Iterable[Region]) -> None:
        self.edition = edition
        self.source = source
        self._periods: dict[str, list[Region]] = {}
        for region in regions:
            self._periods.setdefault(region.code, []).append(region)

    @classmethod
    def provinces(cls) -> RegionList:
        """Return the 34 regions of the first level."""
        text = (resources.files(__package__) / "codes" / "provinces.csv").read_text(encoding="utf-8")
        return cls("2023", "GB/T 2260-2007 with amendments", _read_regions(text, "provinces.csv"))

    @classmethod
    def from_csv(cls, path: Path, edition: str, source: str) -> RegionList:
        """Read columns ``code,name`` and, where known, ``valid_from,valid_to`` (ISO days); codes of 2 to 12 digits.

        Raises:
            Invalid: ``vocabulary.value_wrong`` with file and line, ``vocabulary.region_malformed``.
        """
        return cls(edition, source, _read_regions(path.read_text(encoding="utf-8-sig"), str(path)))

    def with_regions(self, more: RegionList) -> RegionList:
        """Return a list that holds both; its edition and source are those of ``more``."""
        both = [region for periods in (*self._periods.values(), *more._periods.values()) for region in periods]
        return RegionList(more.edition, more.source, both)

    def __len__(self) -> int:
        return len(self._periods)

    def get_region(self, code: str, day: date) -> Region:
        """Return a region as it was on a day. Raises NotFound ``vocabulary.region_unknown``."""
        found = self.find_region(code, day)
        if found is None:
            raise NotFound("vocabulary.region_unknown", value=code, day=day.isoformat(), edition=self.edition)
        return found

    def find_region(self, code: str, day: date) -> Region | None:
        """Return a region as it was on a day, or None. Raises Invalid ``vocabulary.region_malformed``."""
        periods = self._periods.get(normal_region_code(code), [])
        return next((region for region in periods if region.is_valid_on(day)), None)

    def path_of(self, code: str, day: date) -> list[Region]:
        """Return the regions that hold a region, widest first, itself last; levels not listed are left out."""
        full = normal_region_code(code)
        cuts = [full[:2], full[:4], full[:6], full[:9], full]
        codes = dict.fromkeys(normal_region_code(cut) for cut in cuts if len(cut) in _REGION_LENGTHS)
        found = (self.find_region(cut, day) for cut in codes)
        return [region for region in found if region is not None]


def normal_region_code(code: str) -> str:
    """Fill 2 or 4 digits up to 6. Raises Invalid ``vocabulary.region_malformed``."""
    if not re.fullmatch(r"[1-9][0-9]+", code, re.ASCII) or len(code) not in _REGION_LENGTHS:
        raise Invalid("vocabulary.region_malformed", value=code[:40])
    return code.ljust(6, "0")


def _read_list(text: str, name: str) -> CodeList:
    data = Document.parse(text, name).data
    codes = {
        code: Code(code, entry["label"], order, {key: value for key, value in entry.items() if key != "label"})
        for order, (code, entry) in enumerate(data["codes"].items())
    }
    return CodeList(data["list"], data["label"], str(data["edition"]), data["source"], codes)


def _read_regions(text: str, name: str) -> list[Region]:
    rows = csv.DictReader(text.splitlines())
    if not {"code", "name"} <= set(rows.fieldnames or ()):
        raise Invalid("vocabulary.value_wrong", file=name, line=1, key="header", problem="write code,name at least")
    regions: list[Region] = []
    for row in rows:
        if len(regions) >= MAX_REGIONS:
            problem = f"more than {MAX_REGIONS} regions"
            raise Invalid("vocabulary.value_wrong", file=name, line=rows.line_num, key="code", problem=problem)
        if not row["name"]:
            raise Invalid("vocabulary.value_wrong", file=name, line=rows.line_num, key="name", problem="it is empty")
        start, end = (_day(row.get(key), name, rows.line_num, key) for key in ("valid_from", "valid_to"))
        regions.append(Region(normal_region_code(row["code"]), row["name"], start, end))
    return regions


def _day(text: str | None, name: str, line: int, key: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid(
            "vocabulary.value_wrong", file=name, line=line, key=key, problem="write a day as 2024-01-31"
        ) from None
