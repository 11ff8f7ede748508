"""The city's day: rush hours, car parks, wind and pollution, lamps, meters, buses."""

import numpy as np
import pytest
from shapely.geometry import Point

from gulou.kernel.clock import from_rfc3339
from gulou.sensing.simulation import SimulationSettings, World, build_city
from gulou.sensing.simulation.plane import to_lonlat
from gulou.sensing.simulation.rhythm import is_weekend, local_hour, presence, traffic_demand


def at(text):
    return from_rfc3339(f"2026-07-01T{text}:00+08:00")  # a Wednesday


@pytest.fixture(scope="module")
def city():
    return build_city(SimulationSettings(devices=600, storm="never"))


def lived(city, start_us, seconds=30):
    world = World(city, start_us)
    for _ in range(seconds):
        world.step()
    return world


def test_local_time_is_that_of_the_city():
    assert local_hour(at("08:30")) == 8.5
    assert local_hour(at("00:00")) == 0.0
    assert not is_weekend(at("00:00"))
    assert is_weekend(from_rfc3339("2026-07-04T00:00:00+08:00"))
    assert not is_weekend(from_rfc3339("2026-07-03T23:59:59+08:00"))


def test_rush_hours_fill_roads_and_slow_them(city):
    rush, night = lived(city, at("08:05")), lived(city, at("03:00"))

    assert traffic_demand(at("08:05")) > 5 * traffic_demand(at("03:00"))
    assert rush.traffic.flow_per_h().mean() > 4 * night.traffic.flow_per_h().mean()
    assert rush.traffic.speed_kmh.mean() < night.traffic.speed_kmh.mean() - 3


def test_offices_fill_their_car_parks_by_day_and_homes_by_night(city):
    day, night = lived(city, at("10:30")), lived(city, at("02:00"))
    offices, homes = slice(0, None, 3), slice(2, None, 3)

    def fullness(world, which):
        return (world.parking.occupied() / world.parking.capacity)[which].mean()

    assert fullness(day, offices) > 0.6 > 0.3 > fullness(night, offices)
    assert fullness(night, homes) > 0.7 > fullness(day, homes)
    assert (day.parking.available() >= 0).all()


@pytest.mark.parametrize("purpose", ["work", "home", "leisure"])
def test_places_are_never_more_than_full(purpose):
    hours = [at("00:00") + minute * 60_000_000 for minute in range(0, 7 * 24 * 60, 10)]

    assert all(0 <= presence(moment, purpose) <= 1 for moment in hours)


def test_wind_carries_pollution_to_the_leeward_stations(city):
    world = World(city, at("12:00"))
    east, west = world.sky, World(city, at("12:00")).sky
    stations = city.group("air").positions
    near_factory = np.argmin(np.linalg.norm(stations - np.array([5_000.0, 1_400.0]), axis=1))
    # The factory lies in the east: an east wind blows its plume over the city, a west wind away from it.
    east.wind_from_deg, west.wind_from_deg = 90.0, 270.0
    world.air.step(1.0, at("12:00"), 0.0, east)
    leeward = world.air.pm25()[near_factory]
    world.air.step(1.0, at("12:00"), 0.0, west)
    windward = world.air.pm25()[near_factory]

    assert leeward > windward + 5


def test_rain_washes_the_air():
    city = build_city(SimulationSettings(devices=100, storm="now"))
    before, after = lived(city, at("12:00"), 1), lived(city, at("12:00"), 200)

    assert after.air.pm25().mean() < 0.75 * before.air.pm25().mean()


def test_lamps_are_on_by_night(city):
    assert set(lived(city, at("22:00"), 1).lamps.states()) == {"on"}
    assert set(lived(city, at("12:00"), 1).lamps.states()) == {"off"}


def test_counters_of_meters_only_grow(city):
    world = World(city, at("19:00"))
    energy, volume = world.meters.energy_kwh.copy(), world.meters.volume_m3.copy()
    for _ in range(60):
        world.step()

    assert (world.meters.energy_kwh > energy).all()
    assert (world.meters.volume_m3 >= volume).all()


def test_buses_stay_on_their_roads_and_move(city):
    world = World(city, at("14:00"))
    group = city.group("vehicle")
    roads = {road.id: road.geometry for road in city.layout.main_roads}
    indexes = list(range(len(group.devices)))
    first, _ = world.vehicles.locate(indexes)
    for _ in range(120):
        world.step()
    points, headings = world.vehicles.locate(indexes)

    assert all(0 <= heading <= 360 for heading in headings)
    assert sum(a != b for a, b in zip(first, points, strict=True)) == len(points)
    for point, road_id in zip(points, group.place_ids, strict=True):
        assert roads_distance(roads[road_id], point["coordinates"]) < 1.0


def roads_distance(road, lonlat):
    """Distance in metres of a point in degrees from a road on the plane."""
    origin, east, north = (to_lonlat(np.array([p], dtype=float))[0] for p in ([0, 0], [10_000, 0], [0, 10_000]))
    scale = np.array([10_000 / (east[0] - origin[0]), 10_000 / (north[1] - origin[1])])
    return road.distance(Point((np.array(lonlat) - origin) * scale))
