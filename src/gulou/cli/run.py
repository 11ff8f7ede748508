"""``gulou run``: the platform, until it is told to stop."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from gulou.cli import show
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.errors import Fault

if TYPE_CHECKING:
    from gulou.cli.serve import Server

_SWITCH_S = 0.0005
_COLLECT_AT = (10_000, 20, 20)

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port of the page and the API (8765).")]
MqttPort = Annotated[int | None, typer.Option("--mqtt-port", min=0, max=65535, help="Port of MQTT devices (1883).")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on (127.0.0.1).")]


def run(
    port: Port = None,
    mqtt_port: MqttPort = None,
    host: Host = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Run the platform until it is stopped (Ctrl-C or SIGTERM).

    Prints its address, and at the first start the admin's one-time password.
    """
    from gulou.cli.serve import Server  # the whole platform: not for the other commands
    from gulou.cli.settings import ServerSettings

    place = Place.chosen(data)
    settings = ServerSettings.load(place, host=host, port=port)
    stopped = stop_on_signal()
    with Server(place, listen=True, settings=settings, mqtt_port=mqtt_port) as server:
        tune_interpreter()
        announce(server, as_json)
        while not stopped.wait(1.0):
            if server.died():
                raise Fault("server.died")
    if not as_json:
        show.errors.print("Stopped; everything acknowledged is kept.")


def tune_interpreter() -> None:
    """Set the interpreter up for a process of many threads that each do little at a time.

    A thread that comes back from the disk or a socket waits a switch interval for every one that computes: at the
    usual 5 ms a command's way through the record store would take ten of them. What the start has made stays until
    the end: the garbage collector need not look at it again, and need not look at young objects so often.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # the end tidies up only what the collector may see; libraries complain of the rest
    gc.set_threshold(*_COLLECT_AT)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stopped = threading.Event()

    def stop(number: int, _frame: object) -> None:
        if stopped.is_set():
            sys.exit(128 + number)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped


def announce(server: Server, as_json: bool) -> None:
    """Say where it is, and the first admin's password, once."""
    running, password = server.running, server.platform.first_password
    if as_json:
        show.emit(
            {
                "url": running.url,
                "mqtt_port": running.mqtt_port,
                "pid": running.pid,
                "data": str(server.place.root),
                **({"user": "admin", "password": password} if password else {}),
            }
        )
        show.flush()
        return
    show.people.print(f"\n  [bold]Gulou 鼓楼[/]  {running.url}", highlight=False)
    if password:
        show.people.print(f"  sign in as [bold]admin[/], one-time password [bold]{password}[/]")
    show.people.print(f"  devices: MQTT at port {running.mqtt_port}, HTTP at {running.url}/ingest/v1/readings")
    show.people.print(f"  data: {server.place.root}\n", soft_wrap=True)
