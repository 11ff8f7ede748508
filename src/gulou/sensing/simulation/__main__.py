"""``python -m gulou.sensing.simulation``: make a city's files, or run its devices as a process of their own."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from gulou.kernel.clock import SystemClock, from_rfc3339
from gulou.kernel.errors import GulouError
from gulou.kernel.messages import render
from gulou.sensing.simulation.city import build_city
from gulou.sensing.simulation.link_mqtt import MqttAddress
from gulou.sensing.simulation.provision import CREDENTIALS_FILE, provision, read_credentials, read_settings
from gulou.sensing.simulation.settings import SimulationSettings
from gulou.sensing.simulation.simulator import Simulator, Target

_OVERRIDES = ("speed", "time_scale", "storm", "storm_after_s", "storm_every_s", "storm_lasts_s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 2 for wrong use, 1 when it failed."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="simulation: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        if options.what == "provision":
            return _provision(options)
        return asyncio.run(_run(options))
    except GulouError as error:
        print(render(error.code, error.params, "en"), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gulou.sensing.simulation", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="only warnings on standard error")
    what = parser.add_subparsers(dest="what", required=True)
    make = what.add_parser("provision", help="write devices, entities, base map and credentials of a city")
    make.add_argument("directory", type=Path)
    make.add_argument("--devices", type=int, help="size of the city, 100 to 100000")
    make.add_argument("--seed", type=int)
    run = what.add_parser("run", help="let the devices of a provisioned city speak and obey")
    run.add_argument("directory", type=Path)
    run.add_argument("--server", help="address for HTTP devices, http://127.0.0.1:8765; without it they stay silent")
    run.add_argument("--mqtt", required=True, metavar="HOST:PORT", help="where the platform listens for MQTT devices")
    run.add_argument("--mqtt-ca", type=Path, help="PEM file of the authority; switches TLS on")
    run.add_argument("--credentials", type=Path, help="JSON object of device id and secret; default: the city's own")
    run.add_argument("--start", help="the devices' clock at the start, RFC 3339, in the past; default: now")
    run.add_argument("--with-parent", action="store_true", help="end when the process that started it ends")
    run.add_argument("--json", action="store_true", help="at the end, print the counts as one JSON object")
    run.add_argument("--storm", choices=("scheduled", "now", "never"))
    for name in _OVERRIDES:
        if name != "storm":
            run.add_argument(f"--{name.replace('_', '-')}", type=float, dest=name)
    return parser


def _provision(options: argparse.Namespace) -> int:
    given = {key: getattr(options, key) for key in ("devices", "seed") if getattr(options, key) is not None}
    made = provision(build_city(SimulationSettings(**given)), options.directory)
    print(made.directory)
    return 0


async def _run(options: argparse.Namespace) -> int:
    changes = {name: getattr(options, name) for name in _OVERRIDES if getattr(options, name) is not None}
    settings = SimulationSettings(**(read_settings(options.directory).model_dump() | changes))
    credentials = read_credentials(options.credentials or options.directory / CREDENTIALS_FILE)
    host, _, port = options.mqtt.rpartition(":")
    tls = ssl.create_default_context(cafile=str(options.mqtt_ca)) if options.mqtt_ca else None
    target = Target(MqttAddress(host or "127.0.0.1", int(port), tls), options.server)
    start_us = from_rfc3339(options.start) if options.start else None
    simulator = Simulator(build_city(settings), target, credentials, SystemClock(), start_us)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, simulator.world.call_storm)
    watch = asyncio.create_task(_follow_parent(stop)) if options.with_parent else None
    await simulator.run(stop)
    if watch is not None:
        watch.cancel()
    if options.json:
        print(json.dumps(dataclasses.asdict(simulator.counts)))
    return 0


async def _follow_parent(stop: asyncio.Event) -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 -- nothing tells a process that its parent has ended
        await asyncio.sleep(1)
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
