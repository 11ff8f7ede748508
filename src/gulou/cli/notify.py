"""Telling systemd how the service fares, by its datagram protocol; without systemd nothing happens.

Source: sd_notify(3), "Description" and "Environment"
"""

from __future__ import annotations

import os
import socket
import time


class ServiceManager:
    """Whoever started this process as a service of ``Type=notify``.

    Its socket's name is taken out of the environment, so that no child speaks for the service.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        watch_us = os.environ.pop("WATCHDOG_USEC", "")
        watched_pid = os.environ.pop("WATCHDOG_PID", "")
        is_meant = watched_pid in ("", str(os.getpid()))
        self._every_s = int(watch_us) / 2e6 if watch_us.isdecimal() and is_meant else 0.0
        self._due_s = 0.0

    def ready(self, status: str) -> None:
        """Say that the service serves."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say in one line how it is."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """Say that it is about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that the supervisor still looks after its parts; as often as the service asks for."""
        now_s = time.monotonic()
        if self._every_s and now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address[:1] not in ("/", "@"):
            return
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            try:
                door.sendto(text.encode(), name)
            except OSError:
                return  # who started this does not listen any more
