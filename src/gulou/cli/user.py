"""``gulou user``: accounts and tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gulou.cli import show
from gulou.cli.client import Client, connected
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.errors import NotFound

app = typer.Typer(no_args_is_help=True, help="Accounts of people and tokens of programs.")


@app.command("list")
def list_users(as_json: Json = False, data: Data = None) -> None:
    """List accounts."""
    with connected(Place.chosen(data), show.language()) as client:
        columns = ["id", "name", "roles", "department", "enabled"]
        show.rows(client.pages("/users", {}), columns, as_json=as_json, empty="No accounts.")


@app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    role: Annotated[list[str], typer.Option(help="admin, duty-officer, steward, viewer or device-integrator.")],
    department: Annotated[str | None, typer.Option(help="Department.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Make an account; prints a one-time password, to be changed at the first sign-in."""
    body: dict[str, Any] = {"name": name, "roles": role, "department": department}
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", "/users", json=body)
    if as_json:
        show.emit({**made["user"], "password": made["password"]})
    else:
        show.people.print(f"Made {name}. One-time password: {made['password']}")


@app.command("password")
def reset_password(name: Annotated[str, typer.Argument(help="Account's name.")], data: Data = None) -> None:
    """Give an account a new one-time password; its sessions end."""
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", f"/users/{_find(client, name)['id']}/password")
    show.people.print(f"One-time password of {name}: {made['password']}")


@app.command("disable")
def disable_user(name: Annotated[str, typer.Argument(help="Account's name.")], data: Data = None) -> None:
    """Close an account; its sessions and tokens end at once."""
    with connected(Place.chosen(data), show.language()) as client:
        user = _find(client, name)
        client.call("PATCH", f"/users/{user['id']}", json={"enabled": False})
    show.people.print(f"Disabled {name}.")


@app.command("token")
def make_token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    permission: Annotated[list[str], typer.Option(help="Action that it may do, e.g. intake.write; repeat.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="Valid for so many days.")] = 365,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Make a token for a program; shown once."""
    body = {"name": name, "permissions": [{"action": action} for action in permission], "expires_in_days": days}
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", "/tokens", json=body)
    if as_json:
        show.emit(made)
    else:
        show.people.print(f"Token for {name}, shown this once: {made['secret']}")


def _find(client: Client, name: str) -> dict[str, Any]:
    for user in client.pages("/users", {"q": name}):
        if user["name"] == name:
            return user
    raise NotFound("cli.user_unknown", name=name)
