"""Packs: domains as folders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter

from gulou.access import Principal
from gulou.api.asking import At, Language, needs
from gulou.api.schemas.packs import PackCheck, PackFiles, PackPage, PackProblem, PackView
from gulou.api.shaping import to_view
from gulou.kernel import render
from gulou.kernel.documents import Problem

if TYPE_CHECKING:
    from gulou.packs import PackStatus

router = APIRouter(tags=["packs"])

Reader = Annotated[Principal, needs("rule.read")]
PackManager = Annotated[Principal, needs("pack.manage")]


@router.get("/packs")
def list_packs(at: At, asker: Reader, language: Language) -> PackPage:
    """List packs, by name."""
    packs = at.packs.all()
    return PackPage(items=[_pack_view(pack, language) for pack in packs], total=len(packs))


@router.post("/packs/check")
def check_pack(at: At, asker: PackManager, language: Language, entry: PackFiles) -> PackCheck:
    """Check a pack without installing it."""
    problems = at.packs.check_files(entry.name, entry.files)
    return PackCheck(ok=not problems, name=entry.name, problems=_problem_views(problems, language))


@router.get("/packs/{name}")
def get_pack(at: At, asker: Reader, language: Language, name: str) -> PackView:
    """Get one pack."""
    return _pack_view(at.packs.get(name), language)


@router.post("/packs/{name}/enable")
def enable_pack(at: At, asker: PackManager, language: Language, name: str) -> PackView:
    """Load a pack; a broken one is refused whole and the running version stays."""
    return _pack_view(at.packs.enable(name, asker), language)


@router.post("/packs/{name}/disable")
def disable_pack(at: At, asker: PackManager, language: Language, name: str) -> PackView:
    """Take a pack out of service."""
    return _pack_view(at.packs.disable(name, asker), language)


def _pack_view(pack: PackStatus, language: str) -> PackView:
    return to_view(PackView, pack, problems=_problem_views(pack.problems, language))


def _problem_views(problems: Iterable[Problem], language: str) -> list[PackProblem]:
    return [
        PackProblem(
            file=problem.file,
            line=problem.line or None,
            column=problem.column or None,
            code=problem.code,
            message=render(problem.code, problem.params, language),
        )
        for problem in problems
    ]
