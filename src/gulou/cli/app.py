"""The ``gulou`` command.

Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 not available now, try again · 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

import gulou
from gulou.cli import devices, new, pack, rules, show, user
from gulou.cli.client import RemoteProblem
from gulou.cli.demo import demo, simulate
from gulou.cli.doctor import doctor
from gulou.cli.load import load, replay
from gulou.cli.query import EXAMPLES, query
from gulou.cli.run import run
from gulou.cli.status import status
from gulou.kernel.documents import problems_of
from gulou.kernel.errors import GulouError, Invalid
from gulou.kernel.messages import render

app = typer.Typer(
    name="gulou",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Gulou 鼓楼: an open city operating platform.\n\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not available now, 130 interrupted.",
)
app.command()(run)
app.command()(demo)
app.command()(load)
app.command()(replay)
app.command(epilog=EXAMPLES)(query)
app.add_typer(devices.app, name="devices")
app.add_typer(pack.app, name="pack")
app.add_typer(rules.app, name="rules")
app.add_typer(new.app, name="new")
app.add_typer(user.app, name="user")
app.command()(status)
app.command()(doctor)
app.command()(simulate)


def _version(wanted: bool) -> None:
    if wanted:
        print(gulou.__version__)
        raise typer.Exit


@app.callback()
def entry(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, on standard error.")] = False,
) -> None:
    """Set up logging: standard error, one line an event."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def complete_app() -> typer.Typer:
    """Return the whole command; what carries half the platform with it is imported only here."""
    from gulou.cli import accounts, history, log
    from gulou.cli.bench import bench_app

    app.add_typer(log.app, name="log")
    app.add_typer(accounts.app, name="accounts")
    app.add_typer(history.app, name="history")
    app.add_typer(bench_app, name="bench")
    return app


def _needed() -> typer.Typer:
    """Return the whole command, or as much as the one that is called needs: a supervisor lives long and stays small."""
    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    light = [one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands]
    light += [str(one.name) for one in app.registered_groups]
    return app if named in light else complete_app()


def main() -> None:
    """Run a command; every error ends in one clear line and an exit code."""
    try:
        _needed()()
    except KeyboardInterrupt:
        sys.exit(130)
    except RemoteProblem as error:
        fail(str(error), error.problem.get("code"), error.problem.get("errors", []))
        sys.exit(3 if error.status == 503 else 1)
    except GulouError as error:
        if isinstance(error, Invalid) and problems_of(error):
            pack.report(problems_of(error), as_json=False)
        fail(render(error.code, error.params, show.language()), error.code, [])
        sys.exit(3 if error.retry == "later" else 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # a defect: one clear line; the whole story with --verbose
        logging.getLogger("gulou").debug("a defect", exc_info=True)
        hint = (
            ""
            if logging.getLogger().isEnabledFor(logging.DEBUG)
            else " Run it again with gulou --verbose to see where."
        )
        fail(f"This is a defect of Gulou: {type(error).__name__}: {error}.{hint}", "fault.internal", [])
        sys.exit(1)


def fail(sentence: str, code: str | None, problems: list[Any]) -> None:
    """Print one error on standard error."""
    show.errors.print(
        f"[bold red]gulou:[/] {_escape(sentence)}" + (f" [dim]({code})[/]" if code else ""), soft_wrap=True
    )
    for problem in problems:
        if isinstance(problem, dict):
            show.errors.print(f"  {problem.get('where')}: {problem.get('message')}", markup=False, soft_wrap=True)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
