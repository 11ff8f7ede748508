"""Which time the readings of a simulated city carry, at any speed."""

import pytest

from gulou.kernel.clock import VirtualClock, from_rfc3339
from gulou.kernel.errors import Invalid
from gulou.sensing.simulation import MqttAddress, SimulationSettings, Simulator, Target, build_city, new_credentials

NOW_US = from_rfc3339("2026-07-01T12:00:00+08:00")
TARGET = Target(MqttAddress("127.0.0.1", 1), "http://127.0.0.1:1")


def simulator(speed, start_us=None):
    city = build_city(SimulationSettings(devices=100, speed=speed))
    return Simulator(city, TARGET, new_credentials(city), VirtualClock(NOW_US), start_us)


@pytest.mark.parametrize(("speed", "expected_s"), [(1.0, 60.0), (10.0, 6.0), (0.5, 120.0)])
async def test_a_present_city_stamps_real_time_whatever_its_speed(speed, expected_s):
    lively = simulator(speed)

    assert lively.stamp_us(NOW_US + 60_000_000) == NOW_US + expected_s * 1_000_000


async def test_a_past_city_stamps_its_own_time():
    past = simulator(1_000.0, NOW_US - 86_400_000_000)

    assert past.world.now_us == NOW_US - 86_400_000_000
    assert past.stamp_us(NOW_US - 5) == NOW_US - 5


async def test_a_start_in_the_future_is_refused():
    with pytest.raises(Invalid, match=r"simulation\.future"):
        simulator(1.0, NOW_US + 1)


async def test_a_device_without_a_secret_is_named():
    city = build_city(SimulationSettings(devices=100))
    known = new_credentials(city)
    del known["gateway-2"]

    with pytest.raises(Invalid, match="gateway-2"):
        Simulator(city, TARGET, known, VirtualClock(NOW_US))
