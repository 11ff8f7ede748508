"""Registers a simulated city with the platform in this process: devices, secrets, entities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gulou.kernel.errors import Fault
from gulou.sensing.simulation.provision import Provisioned, read_credentials

if TYPE_CHECKING:
    from gulou.access import Principal
    from gulou.cli.platform import Platform


def register_city(platform: Platform, city: Provisioned, principal: Principal) -> None:
    """Make every device, secret and entity of a city known; again is harmless.

    Raises:
        Fault: ``server.city_refused``: the registry would not take a device; nothing of the kind should happen.
    """
    services = platform.services
    report = services.devices.bulk(city.devices.read_bytes(), "ndjson", principal)
    if report.failed:
        raise Fault("server.city_refused", failed=report.failed)
    services.credentials.set_many(read_credentials(city.credentials))
    with city.entities.open(encoding="utf-8") as lines:
        for line in lines:
            services.context.upsert_entity(json.loads(line), principal)
