"""Runs the city: steps the world by the clock and lets its devices speak and obey over their links."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gulou.kernel.clock import SECOND_US, Clock, to_rfc3339
from gulou.kernel.errors import Invalid
from gulou.sensing.simulation.link_http import HttpLink
from gulou.sensing.simulation.link_mqtt import MqttAddress, MqttLink
from gulou.sensing.simulation.links import BUFFER_MESSAGES, LinkCounts, Message
from gulou.sensing.simulation.model import City
from gulou.sensing.simulation.world import TICK_S, Outcome, World

_log = logging.getLogger(__name__)

_TICKS_A_TURN = 20
_LATE_S = 60.0
_REPORT_EVERY_S = 60.0


@dataclass(frozen=True)
class Target:
    """The platform that the devices speak to.

    Args:
        server: ``http://127.0.0.1:8765``; None: the HTTP devices stay silent.
    """

    mqtt: MqttAddress
    server: str | None


class Simulator:
    """The simulated city as one asyncio program.

    Args:
        credentials: device id → secret, for gateways and for devices with a link of their own.
        start_us: None: the city lives ``settings.speed`` times as fast as the real one from now on, and its readings
            carry the real time. With a start in the past its readings carry its own time; it lives through the time
            since at ``settings.speed``, and goes on in real time when it has caught up.

    Raises:
        Invalid: ``simulation.future``, ``simulation.no_credentials``.
    """

    def __init__(
        self, city: City, target: Target, credentials: Mapping[str, str], clock: Clock, start_us: int | None = None
    ) -> None:
        self._clock = clock
        self._speed = city.settings.speed
        self._real_start_us = clock.now_us()
        if start_us is not None and start_us > self._real_start_us:
            raise Invalid("simulation.future", start=to_rfc3339(start_us), now=to_rfc3339(self._real_start_us))
        self._replays = start_us is not None
        self.world = World(city, self._real_start_us if start_us is None else start_us)
        self._links: dict[str, MqttLink | HttpLink] = {}
        self._all_links: list[MqttLink | HttpLink] = []
        self._build_links(city, target, credentials)

    def _build_links(self, city: City, target: Target, credentials: Mapping[str, str]) -> None:
        carried: dict[str, list[str]] = {gateway.id: [] for gateway in city.gateways}
        obeying: dict[str, list[str]] = {gateway.id: [] for gateway in city.gateways}
        by_http: list[str] = []
        for device in city.devices:
            if device.link == "http":
                by_http.append(device.id)
                continue
            carrier = device.gateway_id or device.id
            carried.setdefault(carrier, []).append(device.id)
            if device.family.actuator:
                obeying.setdefault(carrier, []).append(device.id)
        for carrier, device_ids in carried.items():
            link = MqttLink(
                target.mqtt,
                carrier,
                _secret(credentials, carrier),
                obeying.get(carrier, []),
                self._command,
                # Gateways speak MQTT 5, small devices of their own 3.1.1.
                version_5=carrier.startswith("gateway-"),
            )
            self._all_links.append(link)
            self._links.update(dict.fromkeys(device_ids, link))
        if target.server is not None and by_http:
            secrets = {device_id: _secret(credentials, device_id) for device_id in by_http}
            actuators = [d.id for d in city.devices if d.link == "http" and d.family.actuator]
            http = HttpLink(target.server, secrets, actuators, self._command)
            self._all_links.append(http)
            self._links.update(dict.fromkeys(by_http, http))

    @property
    def counts(self) -> LinkCounts:
        """What all links did so far, in sum."""
        total = LinkCounts()
        for link in self._all_links:
            for field in fields(LinkCounts):
                setattr(total, field.name, getattr(total, field.name) + getattr(link.counts, field.name))
        return total

    async def run(self, stop: asyncio.Event) -> None:
        """Live until ``stop`` is set; then disconnect cleanly."""
        links = [asyncio.create_task(link.run()) for link in self._all_links]
        life = asyncio.create_task(self._live())
        watched = [asyncio.create_task(stop.wait()), life, *links]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in watched:
                task.cancel()
            await asyncio.gather(*watched, return_exceptions=True)

    async def _live(self) -> None:
        report_at_us = self._clock.now_us() + round(_REPORT_EVERY_S * SECOND_US)
        while True:
            for _ in range(_TICKS_A_TURN):
                if self._behind_s() < TICK_S or self._is_choked():
                    break
                self._tick()
            if self._clock.now_us() >= report_at_us:
                report_at_us += round(_REPORT_EVERY_S * SECOND_US)
                _log.info("%s", self.counts)
            await asyncio.sleep(self._pause_s())

    def _tick(self) -> None:
        late = not self._replays and self._behind_s() > _LATE_S * self._speed
        for said in self.world.step():
            link = self._links.get(said.device.id)
            if link is None:
                continue
            if late:
                # After a pause of the whole machine: the world catches up, the devices have been silent.
                link.counts.lost_readings += len(said.channels)
            else:
                link.offer(Message.from_utterance(said, self.stamp_us(said.observed_at_us)))

    def stamp_us(self, world_us: int) -> int:
        """Return the time that a reading carries for a moment of the world."""
        if self._replays:
            return world_us
        return self._real_start_us + round((world_us - self.world.start_us) / self._speed)

    def _behind_s(self) -> float:
        """Return how far the world is behind where it should be, seconds of its own clock."""
        now_us = self._clock.now_us()
        wanted_us = self.world.start_us + round((now_us - self._real_start_us) * self._speed)
        if self._replays:
            wanted_us = min(wanted_us, now_us)
        return (wanted_us - self.world.now_us) / SECOND_US

    def _pause_s(self) -> float:
        behind_s = self._behind_s()
        if behind_s >= TICK_S:
            # Let the links work; when they can't keep up, wait for them.
            return 0.05 if self._is_choked() else 0.0
        return min((TICK_S - behind_s) / self._speed, 1.0)

    def _is_choked(self) -> bool:
        """Past time is replayed whole: it waits for the links; the present does not wait."""
        return self._replays and any(link.waiting > BUFFER_MESSAGES // 2 for link in self._all_links)

    def _command(self, device_id: str, name: str, parameters: Mapping[str, Any]) -> Outcome:
        outcome = self.world.command(device_id, name, parameters)
        _log.info("%s: %s %s -> %s", device_id, name[:40], "done" if outcome.ok else "refused", outcome.detail)
        return outcome


def _secret(credentials: Mapping[str, str], device_id: str) -> str:
    if device_id not in credentials:
        raise Invalid("simulation.no_credentials", device_id=device_id)
    return credentials[device_id]
