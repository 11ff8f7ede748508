"""The list parameters that every list shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query


@dataclass(frozen=True)
class Paging:
    """Which page of a list: at most ``limit`` items after ``cursor``, sorted, filtered by a text.

    Args:
        sort: a field's name, with a leading ``-`` for descending.
    """

    limit: Annotated[int, Query(ge=1, le=1000, description="items a page")] = 50
    cursor: Annotated[str | None, Query(max_length=2000, description="`next` of the page before")] = None
    sort: Annotated[str | None, Query(max_length=64, pattern=r"^-?[A-Za-z_.]+$")] = None
    q: Annotated[str | None, Query(max_length=200, description="text to search")] = None


@dataclass(frozen=True)
class Span:
    """A span of pages in a list that can't be sorted or searched."""

    limit: Annotated[int, Query(ge=1, le=1000, description="items a page")] = 50
    cursor: Annotated[str | None, Query(max_length=2000, description="`next` of the page before")] = None


Pages = Annotated[Paging, Depends()]
Spans = Annotated[Span, Depends()]
