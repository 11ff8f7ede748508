"""Rules and packs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
from gulou.api.paging import Spans
from gulou.api.schemas.hub import RuleFirings, RulePage, RuleTry, RuleView
from gulou.api.schemas.packs import PackCheck, PackFiles, PackPage, PackView

router = APIRouter(tags=["packs"])


@router.get("/rules")
def list_rules(asker: Asker, spans: Spans, pack: Annotated[str | None, Query(max_length=128)] = None) -> RulePage:
    """List the rules that run."""
    raise NotImplementedError


@router.post("/rules/try")
def try_rule(asker: Asker, entry: RuleTry) -> RuleFirings:
    """Run a rule over history and say what it would have found; nothing is raised in earnest."""
    raise NotImplementedError


@router.get("/rules/{pack}/{rule}")
def get_rule(asker: Asker, pack: str, rule: str) -> RuleView:
    """Get one rule with its source."""
    raise NotImplementedError


@router.get("/packs")
def list_packs(asker: Asker) -> PackPage:
    """List packs."""
    raise NotImplementedError


@router.post("/packs/check")
def check_pack(asker: Asker, entry: PackFiles) -> PackCheck:
    """Check a pack without installing it."""
    raise NotImplementedError


@router.get("/packs/{name}")
def get_pack(asker: Asker, name: str) -> PackView:
    """Get one pack."""
    raise NotImplementedError


@router.post("/packs/{name}/enable")
def enable_pack(asker: Asker, name: str) -> PackView:
    """Load a pack; a broken one is refused whole and the running version stays."""
    raise NotImplementedError


@router.post("/packs/{name}/disable")
def disable_pack(asker: Asker, name: str) -> PackView:
    """Take a pack out of service."""
    raise NotImplementedError
