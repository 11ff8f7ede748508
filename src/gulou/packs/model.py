"""What a pack is, once it has been read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from gulou.hub.rules import RuleSet
from gulou.kernel.documents import Problem
from gulou.packs.story import Story
from gulou.sensing.sdk.mapping import Mapping

PackState = Literal["enabled", "disabled", "broken"]


class Manifest(msgspec.Struct, frozen=True):
    """``pack.yaml``.

    Args:
        name: 1-64 of ``[a-z0-9-]``, equal to the folder's name.
        version: semantic version.
        title, description: by language.
        gulou: lowest version of Gulou that it needs.
        retention: days that the history keeps readings of types that the pack brings; settings may say otherwise.
    """

    name: str
    version: str
    title: dict[str, str]
    description: dict[str, str] = {}
    gulou: str = "0.1"
    licence: str = "Apache-2.0"
    retention: dict[str, int] = {}


class Pack(msgspec.Struct, frozen=True):
    """A whole pack, checked and ready to be enabled."""

    manifest: Manifest
    root: Path
    types: tuple[str, ...]
    rules: RuleSet
    mappings: tuple[Mapping, ...]
    stories: tuple[Story, ...]


class PackStatus(msgspec.Struct, frozen=True):
    """A pack as its operators see it.

    Args:
        state: ``broken`` when what lies in the folder cannot be loaded; ``running`` then tells whether the last good
            version still serves.
        contents: how many rules, mappings, types and stories.
    """

    name: str
    version: str
    title: dict[str, str]
    description: dict[str, str]
    state: PackState
    running: str | None
    contents: dict[str, int]
    problems: tuple[Problem, ...] = ()
