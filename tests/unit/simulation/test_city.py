"""What stands where in the simulated city."""

import json

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.sensing.simulation import SimulationSettings, World, base_map, build_city

START_US = 1_780_000_000_000_000


def readings(city, seconds):
    world = World(city, START_US)
    return [(u.device.id, u.observed_at_us, u.channels) for _ in range(seconds) for u in world.step()]


@pytest.fixture(scope="module")
def city():
    return build_city(SimulationSettings(devices=500))


@pytest.mark.parametrize("count", [100, 101, 500, 3_000, 20_000])
def test_a_city_has_as_many_devices_as_were_asked_for(count):
    city = build_city(SimulationSettings(devices=count))
    ids = [device.id for device in city.devices] + [gateway.id for gateway in city.gateways]

    assert len(ids) == len(set(ids)) == count


def test_the_rate_stays_below_its_ceiling_in_a_large_city():
    city = build_city(SimulationSettings(devices=20_000, max_readings_per_s=300))

    rate = sum(len(device.family.channels) / device.interval_s for device in city.devices)
    assert rate < 330
    assert next(d for d in city.devices if d.id == "drain-1").interval_s == 2


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000))
def test_every_seed_gives_a_whole_city(seed):
    city = build_city(SimulationSettings(devices=100, seed=seed))

    assert len(city.layout.districts) == 8
    assert len(city.layout.buildings) > 1_000
    assert all(shape.geometry.is_valid for shape in (*city.layout.districts, city.layout.river, city.layout.lake))
    assert all(117.0 < d.longitude < 117.6 and 31.6 < d.latitude < 32.1 for d in city.devices)


def test_the_same_seed_gives_the_same_readings_and_another_seed_others():
    first, again, other = (build_city(SimulationSettings(devices=120, seed=s)) for s in (7, 7, 8))

    assert readings(first, 90) == readings(again, 90)
    assert readings(first, 20) != readings(other, 20)


def test_districts_cover_the_city_without_overlap(city):
    districts = [shape.geometry for shape in city.layout.districts]

    assert shapely.union_all(districts).area == pytest.approx(sum(area.area for area in districts), rel=1e-6)
    assert shapely.union_all(districts).area == pytest.approx(city.layout.boundary.area, rel=1e-6)


def test_buildings_keep_clear_of_water_and_parks(city):
    water = shapely.union_all([city.layout.river.geometry, city.layout.lake.geometry, city.layout.creek.geometry])
    parks = shapely.union_all([park.geometry for park in city.layout.parks])
    buildings = shapely.union_all([building.geometry for building in city.layout.buildings])

    assert not buildings.intersects(water)
    assert not buildings.intersects(parks)


def test_the_base_map_is_geojson_of_a_bounded_size(city):
    text = json.dumps(base_map(city.layout), ensure_ascii=False, separators=(",", ":"))
    features = json.loads(text)["features"]

    assert len(text) < 2_000_000
    assert {f["properties"]["kind"] for f in features} == {
        "district",
        "park",
        "river",
        "lake",
        "building",
        "road",
        "label",
    }
    assert len({f["id"] for f in features}) == len(features)
    assert all(shapely.geometry.shape(f["geometry"]).is_valid for f in features)
    west, south, east, north = shapely.GeometryCollection(
        [shapely.geometry.shape(f["geometry"]) for f in features]
    ).bounds
    assert (117.1 < west < east < 117.5) and (31.7 < south < north < 32.0)
