"""The storm's story, as the README promises it in numbers."""

import pytest

from gulou.sensing.simulation import SimulationSettings, World, build_city

START_US = 1_780_000_000_000_000


@pytest.fixture(scope="module")
def city():
    return build_city(SimulationSettings(devices=100))


def run(world, seconds):
    """Step so many seconds; return the last value of each (device, channel)."""
    said = {}
    for _ in range(seconds):
        for utterance in world.step():
            said |= {(utterance.device.id, name): value for name, value in utterance.channels.items()}
    return said


def test_before_the_rain_all_is_calm(city):
    said = run(World(city, START_US), 38)

    assert said["drain-1", "waterLevel"] == pytest.approx(0.30, abs=0.03)
    assert said["road-water-1", "waterLevel"] == pytest.approx(0.0, abs=0.001)
    assert said["weather-1", "precipitationIntensity"] == 0.0
    assert said["pump-1", "powerState"] == "off"


def test_heavy_rain_floods_one_underpass_and_stops_its_road(city):
    world = World(city, START_US)
    run(world, 40)
    said = run(world, 60)

    assert said["drain-1", "waterLevel"] > 2.5
    assert 1.5 < said["drain-2", "waterLevel"] < 2.0
    assert said["drain-3", "waterLevel"] < 1.0
    assert said["road-water-1", "waterLevel"] > 0.27
    assert said["road-water-3", "waterLevel"] < 0.05
    assert said["traffic-1", "averageVehicleSpeed"] < 15
    assert said["weather-1", "precipitationIntensity"] > 40


def test_without_the_pump_the_level_stays_high(city):
    world = World(city, START_US)

    assert run(world, 500)["drain-1", "waterLevel"] > 2.5


def test_the_pump_lowers_the_level_while_it_rains_on(city):
    world = World(city, START_US)
    run(world, 100)
    outcome = world.command("pump-1", "switch", {"powerState": "on"})
    at_once = run(world, 1)
    later = run(world, 30)

    assert outcome.ok
    assert at_once["pump-1", "powerState"] == "on"
    assert at_once["pump-1", "activePower"] > 100
    assert world.rain_mm_h > 60
    assert later["drain-1", "waterLevel"] < 1.5
    assert run(world, 30)["traffic-1", "averageVehicleSpeed"] > 35


def test_a_pump_stops_by_itself_when_its_drain_is_empty_and_the_rain_over(city):
    world = World(city, START_US)
    run(world, 100)
    world.command("pump-1", "turn_on", {})
    said = run(world, 200)

    assert said["pump-1", "powerState"] == "off"
    assert said["pump-1", "activePower"] == 0.0


def test_the_storm_comes_again_and_can_be_called(city):
    world = World(city, START_US)
    run(world, 400)
    dry = world.rain_mm_h
    world.call_storm()
    run(world, 20)
    called = world.rain_mm_h
    run(world, 2_050)

    assert (dry, called) == (0.0, 65.0)
    assert world.rain_mm_h == 65.0


def test_storm_never_and_now(city):
    calm = World(build_city(SimulationSettings(devices=100, storm="never")), START_US)
    stormy = World(build_city(SimulationSettings(devices=100, storm="now")), START_US)
    run(calm, 300)
    run(stormy, 20)

    assert calm.rain_mm_h == 0.0
    assert stormy.rain_mm_h == 65.0
