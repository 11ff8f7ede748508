"""``gulou demo``: the platform with a simulated city whose devices speak and obey over real sockets."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gulou.cli import show
from gulou.cli.door import bind
from gulou.cli.options import Data, Json
from gulou.cli.orders import Orders
from gulou.cli.place import Place, Running
from gulou.cli.run import Host, MqttPort, Port, announce, serving, stop_on_signal
from gulou.cli.settings import ServerSettings
from gulou.cli.supervisor import order_once
from gulou.kernel.errors import NotFound

if TYPE_CHECKING:
    from gulou.cli.platform import Platform

_MQTT_PORT = 1883
_RESTART_AFTER_S = (1.0, 5.0, 15.0, 60.0)
Storm = Annotated[str | None, typer.Option("--storm", help="scheduled (40 s after the start), now or never.")]


def demo(
    port: Port = None,
    mqtt_port: MqttPort = None,
    host: Host = None,
    devices: Annotated[int, typer.Option(min=100, max=100_000, help="Size of the city.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another city.")] = 20,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Speed of the devices' clock.")] = 1.0,
    storm: Storm = None,
    storm_after: Annotated[
        float | None,
        typer.Option("--storm-after", min=0, help="Seconds from the devices' start to the first storm (40)."),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Run a simulated city with its page at http://127.0.0.1:8765 until stopped.

    A cloudburst comes 40 seconds after the start: sign in, watch the map, say yes to the pump.
    """
    place = Place.chosen(data)
    settings = ServerSettings.load(place, host=host, port=port)
    stopped = stop_on_signal()
    city = place.root / "demo"
    password = _make_city(place, settings, city, devices, seed)
    chosen = mqtt_port if mqtt_port is not None else _free_mqtt_port()
    with serving(place, settings, chosen) as server:
        announce(server, as_json, password)
        simulation = Simulation(city, server.running, speed=speed, storm=storm, storm_after_s=storm_after)
        try:
            server.watch(stopped, simulation.keep_running)
        finally:
            simulation.stop()
    if not as_json:
        show.errors.print("Stopped; everything acknowledged is kept.")


def _make_city(place: Place, settings: ServerSettings, city: Path, devices: int, seed: int) -> str | None:
    """Make and register the city where it is not there yet, in a process that ends; return the first admin's password.

    A port that is taken is told before that, not a minute later.
    """
    if is_built(city, devices, seed):
        return None
    bind(settings.host, settings.port, "--port").close()

    def orders(report: int) -> Orders:
        given = settings.model_dump(mode="json")
        return Orders(part="city", data=str(place.root), settings=given, report=report, devices=devices, seed=seed)

    return order_once(orders, "city").password


def is_built(city: Path, devices: int, seed: int) -> bool:
    """Say whether just this city has been made and registered."""
    try:
        made = json.loads((city / "registered").read_text(encoding="ascii") or "{}")
    except (OSError, ValueError):
        return False
    return bool(made == {"devices": devices, "seed": seed})


def simulate(
    storm: Storm = None,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Speed of the devices' clock.")] = 1.0,
    data: Data = None,
) -> None:
    """Let the demo's devices speak to a running server (gulou run on a directory that gulou demo has made)."""
    place = Place.chosen(data)
    running = place.running()
    city = place.root / "demo"
    if running is None:
        raise NotFound("server.not_running", path=str(place.root))
    if not (city / "simulation.json").is_file():
        raise NotFound("server.no_city", path=str(city))
    raise typer.Exit(subprocess.call(_command(city, running, speed, storm)))


def build(platform: Platform, place: Place, city: Path, *, devices: int, seed: int) -> None:
    """Make the city's files and register its devices and entities; again is harmless."""
    from gulou.access import Principal
    from gulou.cli.provisioning import register_city
    from gulou.sensing.simulation import SimulationSettings, build_city
    from gulou.sensing.simulation.provision import provision

    wanted = SimulationSettings(devices=devices, seed=seed)
    made = provision(build_city(wanted), city)
    shutil.copy(made.base_map, place.maps / "base.geojson")
    register_city(platform, made, Principal.system("demo"))
    (city / "registered").write_text(json.dumps({"devices": devices, "seed": seed}), encoding="ascii")


class Simulation:
    """The process in which the city's devices live; started again when it ends by itself."""

    def __init__(
        self, city: Path, running: Running, *, speed: float, storm: str | None, storm_after_s: float | None
    ) -> None:
        self._first = _command(city, running, speed, storm, storm_after_s)
        self._again = _command(city, running, speed, None)
        self._starts = 0
        self._due = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def keep_running(self) -> None:
        """Start the process, or start it again after a while if it has ended."""
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if self._process is not None and self._due == 0.0:
            wait_s = _RESTART_AFTER_S[min(self._starts - 1, len(_RESTART_AFTER_S) - 1)]
            show.errors.print(f"The simulated city ended ({self._process.returncode}); again in {wait_s:.0f} s.")
            self._due = now + wait_s
        if now >= self._due:
            self._process = subprocess.Popen(self._again if self._starts else self._first)
            self._starts += 1
            self._due = 0.0

    def stop(self) -> None:
        """End it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _command(
    city: Path, running: Running, speed: float, storm: str | None, storm_after_s: float | None = None
) -> list[str]:
    command = [sys.executable, "-m", "gulou.sensing.simulation", "--quiet", "run", str(city)]
    command += ["--server", running.url, "--mqtt", f"127.0.0.1:{running.mqtt_port}", "--with-parent"]
    command += ["--speed", str(speed)]
    if storm_after_s is not None:
        command += ["--storm-after-s", str(storm_after_s)]
    return [*command, "--storm", storm] if storm else command


def _free_mqtt_port() -> int:
    """Return 1883, or 0 (any free one) where another broker has it: a demo should start all the same."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _MQTT_PORT))
        except OSError:
            show.errors.print(f"Port {_MQTT_PORT} is taken by another program; MQTT devices get a free one.")
            return 0
    return _MQTT_PORT
