"""``gulou run``: the platform, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from gulou.cli import show
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.cli.settings import ServerSettings
from gulou.cli.supervisor import Supervisor

if TYPE_CHECKING:
    from gulou.cli.serve import Server

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
    """Run the platform until it is stopped (Ctrl-C or SIGTERM): two processes, engine and web, and their supervisor.

    Either is started again when it ends; nothing acknowledged is lost. Prints its address, and at the first start the
    admin's one-time password.
    """
    place = Place.chosen(data)
    settings = ServerSettings.load(place, host=host, port=port)
    stopped = stop_on_signal()
    with serving(place, settings, mqtt_port) as server:
        announce(server, as_json)
        server.watch(stopped)
    if not as_json:
        show.errors.print("Stopped; everything acknowledged is kept.")


def serving(place: Place, settings: ServerSettings, mqtt_port: int | None) -> Supervisor | Server:
    """Return what is to be entered: the supervisor of two processes, or the one that is all, as the settings say."""
    if settings.processes == 2:
        return Supervisor(place, settings, mqtt_port, verbose=logging.getLogger().isEnabledFor(logging.DEBUG))
    from gulou.cli.serve import Server  # the whole platform: only where it is to be in this process

    return Server(place, listen=True, settings=settings, mqtt_port=mqtt_port)


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


def announce(server: Supervisor | Server, as_json: bool, password: str | None = None) -> None:
    """Say where it is, and the first admin's password, once.

    Args:
        password: where it was made before this server was started.
    """
    running, password = server.running, password or server.first_password
    if as_json:
        show.emit(
            {
                "url": running.url,
                "mqtt_port": running.mqtt_port,
                "ingest_url": running.ingest_url,
                "pid": running.pid,
                "engine_pid": running.engine_pid,
                "web_pid": running.web_pid,
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
    if running.ingest_url:
        show.people.print(f"  large loads: {running.ingest_url}/ingest/v1/readings, straight into the engine")
        show.people.print(f"  processes: engine {running.engine_pid}, web {running.web_pid}, supervisor {running.pid}")
    show.people.print(f"  data: {server.place.root}\n", soft_wrap=True)
