"""One of the supervised processes: ``python -m gulou.cli.part <orders>``. Started by the supervisor only."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from gulou.cli.orders import Orders, Report
from gulou.cli.tuning import tune_interpreter
from gulou.kernel.errors import Fault, GulouError

_log = logging.getLogger("gulou")
_END_WITHIN_S = 30.0


class Part(Protocol):
    """An engine or a web process that has been started."""

    def stop(self) -> None: ...
    def died(self) -> bool: ...


def main() -> None:
    """Do what the orders say until told to stop, or until the supervisor is gone."""
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    name_process(f"gulou-{orders.part}")
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if orders.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    stopped = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides the order
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    threading.Thread(target=end_with_parent, args=(stopped,), name="parent", daemon=True).start()
    try:
        code = _START[orders.part](orders, stopped)
    except GulouError as error:
        Report.of(error).send(orders.report)  # the supervisor says it
        code = 3 if error.retry == "later" else 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is closed; taking the interpreter apart would only take time, and libraries complain of it


def run_engine(orders: Orders, stopped: threading.Event) -> int:
    """Be the engine."""
    from gulou.cli.place import Place
    from gulou.connectivity.device_heads import HeadsAhead

    place = Place(Path(orders.data))
    heads = None if orders.settings.get("records_url") else HeadsAhead(place.records)
    from gulou.cli.settings import ServerSettings  # these take as long as the heads
    from gulou.cli.wire_engine import build_engine

    engine = build_engine(place, ServerSettings.model_validate(orders.settings), orders.mqtt_port, heads)
    local = place.listen_locally(place.ingest)
    engine.start(
        [local, *map(_inherited, orders.doors)],
        serving=lambda: Report(is_ready=False, is_serving=True).send(orders.report),
    )
    tune_interpreter()
    Report(is_ready=True, mqtt_port=engine.mqtt_port()).send(orders.report)
    return _stay(engine, stopped)


def run_web(orders: Orders, stopped: threading.Event) -> int:
    """Be the web process."""
    from gulou.cli.place import Place
    from gulou.cli.settings import ServerSettings
    from gulou.cli.wire_web import build_web

    settings = ServerSettings.model_validate(orders.settings)
    os.nice(settings.web_nice)  # before there is another thread: it holds for those that begin from now on
    web = build_web(Place(Path(orders.data)), settings)
    web.start(_inherited(orders.doors[0]))
    tune_interpreter()
    Report(is_ready=True, token=web.local_token(), password=web.first_password).send(orders.report)
    return _stay(web, stopped)


def make_city(orders: Orders, _stopped: threading.Event) -> int:
    """Make the demo's city and register it, once; everything in this process, which then ends."""
    from gulou.cli.demo import build
    from gulou.cli.place import Place
    from gulou.cli.serve import Server
    from gulou.cli.settings import ServerSettings

    place = Place(Path(orders.data))
    with Server(place, listen=False, settings=ServerSettings.model_validate(orders.settings)) as server:
        build(server.platform, place, place.root / "demo", devices=orders.devices, seed=orders.seed)
        password = server.platform.first_password
    Report(is_ready=True, password=password).send(orders.report)
    return 0


def end_with_parent(stopped: threading.Event) -> None:
    """Wait until the supervisor's end of our standard input is closed, then end; by force where it takes too long."""
    while os.read(0, 1):
        pass
    stopped.set()
    threading.Event().wait(_END_WITHIN_S)
    os._exit(1)


def name_process(name: str) -> None:
    """Let ``ps`` and ``top`` show which part it is, where the system can."""
    try:
        Path("/proc/self/comm").write_text(name[:15], encoding="ascii")
    except OSError:
        return


def _stay(part: Part, stopped: threading.Event) -> int:
    while not stopped.wait(1.0):
        if part.died():
            _log.error("%s", Fault("server.died"))
            part.stop()
            return 1
    part.stop()
    return 0


def _inherited(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


_START: dict[str, Callable[[Orders, threading.Event], int]] = {
    "engine": run_engine,
    "web": run_web,
    "city": make_city,
}

if __name__ == "__main__":
    main()
