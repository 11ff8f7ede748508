import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid
from gulou.kernel.datum import (
    DATUMS,
    bd09_to_gcj02,
    convert,
    from_gauss_kruger,
    gcj02_to_bd09,
    gcj02_to_wgs84,
    shift_outline,
    to_gauss_kruger,
    wgs84_to_gcj02,
)

inland_lons = st.floats(min_value=100, max_value=115)
inland_lats = st.floats(min_value=26, max_value=40)


def test_the_published_vectors():
    assert wgs84_to_gcj02(116.404, 39.915) == pytest.approx((116.41024449916938, 39.91640428150164), abs=1e-12)
    assert gcj02_to_bd09(116.404, 39.915) == pytest.approx((116.41036949371028, 39.9213369935102), abs=1e-12)
    assert bd09_to_gcj02(116.404, 39.915) == pytest.approx((116.39762729119315, 39.90865673957631), abs=1e-12)


@given(inland_lons, inland_lats)
def test_the_shift_can_be_undone(lon, lat):
    assert gcj02_to_wgs84(*wgs84_to_gcj02(lon, lat)) == pytest.approx((lon, lat), abs=1e-11)


@given(inland_lons, inland_lats)
def test_baidus_offset_can_be_undone_to_decimetres(lon, lat):
    assert bd09_to_gcj02(*gcj02_to_bd09(lon, lat)) == pytest.approx((lon, lat), abs=5e-6)


@pytest.mark.parametrize(
    ("lon", "lat"),
    [
        (116.4, 39.9),
        (121.47, 31.23),
        (114.06, 22.55),
        (87.6, 43.8),
        (109.5, 18.25),
        (127.5, 50.24),
        (134.3, 48.36),
        (126.19, 41.12),
        (75.99, 39.47),
    ],
)
def test_places_that_are_shifted(lon, lat):
    assert wgs84_to_gcj02(lon, lat) != (lon, lat)


@pytest.mark.parametrize(
    ("lon", "lat"),
    # Seoul, Pyongyang, Ulaanbaatar, Hanoi, Kathmandu, Almaty, Vladivostok: all within the rough box that is often used.
    [
        (127.0, 37.57),
        (125.75, 39.02),
        (106.9, 47.9),
        (105.85, 21.03),
        (85.3, 27.7),
        (76.9, 43.25),
        (131.9, 43.1),
        (0, 0),
        (-74, 40.7),
    ],
)
def test_places_that_are_not_shifted(lon, lat):
    assert wgs84_to_gcj02(lon, lat) == (lon, lat)
    assert gcj02_to_wgs84(lon, lat) == (lon, lat)


@pytest.mark.parametrize(("region", "lon", "lat"), [("HK", 114.17, 22.3), ("MO", 113.56, 22.15), ("TW", 121.56, 25.04)])
def test_each_map_says_whether_it_shifts_these_regions(region, lon, lat):
    assert convert(lon, lat, "WGS84", "GCJ02") == (lon, lat)
    assert convert(lon, lat, "WGS84", "GCJ02", also=frozenset({region})) != (lon, lat)


def test_the_outline_is_a_valid_shape():
    assert shift_outline().is_valid
    assert shift_outline(frozenset({"HK", "MO", "TW"})).area > shift_outline().area


@pytest.mark.parametrize("source", DATUMS)
@pytest.mark.parametrize("target", DATUMS)
@given(lon=inland_lons, lat=inland_lats)
def test_every_pair_converts_there_and_back(source, target, lon, lat):
    there = convert(lon, lat, source, target)
    assert convert(*there, target, source) == pytest.approx((lon, lat), abs=1e-5)


def test_wgs84_and_cgcs2000_are_treated_as_equal():
    assert convert(116.4, 39.9, "WGS84", "CGCS2000") == (116.4, 39.9)
    assert convert(116.4, 39.9, "CGCS2000", "GCJ02") == convert(116.4, 39.9, "WGS84", "GCJ02")


def test_unknown_datums_and_impossible_points_are_refused():
    with pytest.raises(Invalid, match=r"datum\.unknown"):
        convert(1, 2, "WGS84", "GCJ2")
    with pytest.raises(Invalid, match=r"geometry\.out_of_range"):
        convert(39.9, 116.4, "WGS84", "GCJ02")


def test_the_central_meridian_lies_at_500_km():
    easting, northing = to_gauss_kruger(117.0, 0.0)
    assert easting == pytest.approx(39_500_000)
    assert northing == pytest.approx(0, abs=1e-6)
    assert to_gauss_kruger(117.0, 0.0, width=6)[0] == pytest.approx(20_500_000)
    # The length of the meridian from the equator to 40° on the CGCS2000 ellipsoid, m.
    assert to_gauss_kruger(117.0, 40.0)[1] == pytest.approx(4_429_529.03, abs=0.01)


@pytest.mark.parametrize("width", [3, 6])
@given(lon=st.floats(min_value=75, max_value=135), lat=st.floats(min_value=4, max_value=53))
def test_projection_can_be_undone(width, lon, lat):
    assert from_gauss_kruger(*to_gauss_kruger(lon, lat, width), width) == pytest.approx((lon, lat), abs=1e-8)


@pytest.mark.parametrize(("width", "zone"), [(3, 24), (3, 46), (6, 12), (6, 24), (4, 30)])
def test_zones_that_do_not_exist(width, zone):
    with pytest.raises(Invalid, match=r"datum\.zone_unknown"):
        to_gauss_kruger(116, 40, width, zone)


@pytest.mark.parametrize(
    ("easting_m", "northing_m"), [(math.nan, 0), (39_500_000, -1), (39_500_000, 2e7), (math.inf, 1)]
)
def test_projected_points_out_of_range(easting_m, northing_m):
    with pytest.raises(Invalid, match=r"datum\.out_of_range"):
        from_gauss_kruger(easting_m, northing_m)


def test_a_point_far_from_its_zone_is_refused():
    with pytest.raises(Invalid, match=r"datum\.out_of_range"):
        to_gauss_kruger(-60, 40, 3, 39)
    with pytest.raises(Invalid, match=r"datum\.out_of_range"):
        to_gauss_kruger(121.0, 40, 3, 39)


def test_a_point_beyond_the_edge_may_be_put_into_the_neighbours_zone():
    assert to_gauss_kruger(118.6, 40)[0] // 1_000_000 == 40
    assert to_gauss_kruger(118.6, 40, zone=39)[0] // 1_000_000 == 39
