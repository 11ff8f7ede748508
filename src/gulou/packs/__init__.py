"""Packs: domains as folders of declarations; loaded, checked, enabled, scaffolded, tested by their stories."""

from gulou.packs.loader import load_pack
from gulou.packs.model import Manifest, Pack, PackStatus
from gulou.packs.runner import play
from gulou.packs.scaffold import scaffold_pack
from gulou.packs.service import PackService
from gulou.packs.stage import Stage
from gulou.packs.story import Moment, Story, read_story

__all__ = [
    "Manifest",
    "Moment",
    "Pack",
    "PackService",
    "PackStatus",
    "Stage",
    "Story",
    "load_pack",
    "play",
    "read_story",
    "scaffold_pack",
]
