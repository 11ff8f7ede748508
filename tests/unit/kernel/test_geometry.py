import math

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid
from gulou.kernel.geometry import (
    Box,
    area_m2,
    box_around,
    box_of,
    check_position,
    circle,
    contains_point,
    distance_m,
    distance_to_m,
    from_shape,
    length_m,
    parse_box,
    point,
    to_shape,
)

lons = st.floats(min_value=-180, max_value=180)
lats = st.floats(min_value=-90, max_value=90)
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}

SHAPES = [
    {"type": "Point", "coordinates": [116.4, 39.9]},
    {"type": "Point", "coordinates": [116.4, 39.9, 44.0]},
    {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
    {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
    {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]},
    SQUARE,
    {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
    {"type": "GeometryCollection", "geometries": [SQUARE, {"type": "Point", "coordinates": [1, 2]}]},
]


@pytest.mark.parametrize("geometry", SHAPES)
def test_geojson_survives_the_round_trip(geometry):
    assert from_shape(to_shape(geometry, must_be_valid=True)) == geometry


@pytest.mark.parametrize(
    ("geometry", "code"),
    [
        (None, "geometry.malformed"),
        ("POINT (1 2)", "geometry.malformed"),
        ({}, "geometry.malformed"),
        ({"type": "Circle", "coordinates": [1, 2]}, "geometry.malformed"),
        ({"type": "Point"}, "geometry.malformed"),
        ({"type": "Point", "coordinates": []}, "geometry.malformed"),
        ({"type": "Point", "coordinates": ["1", "2"]}, "geometry.malformed"),
        ({"type": "Point", "coordinates": [True, False]}, "geometry.malformed"),
        ({"type": "Point", "coordinates": [math.nan, 1]}, "geometry.malformed"),
        ({"type": "Point", "coordinates": [39.9, 116.4]}, "geometry.out_of_range"),
        ({"type": "Point", "coordinates": [181, 0]}, "geometry.out_of_range"),
        ({"type": "LineString", "coordinates": [[1, 2]]}, "geometry.malformed"),
        ({"type": "LineString", "coordinates": [1, 2]}, "geometry.malformed"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "geometry.ring_short"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "geometry.ring_open"),
        ({"type": "Polygon", "coordinates": [[0, 0], [1, 0], [1, 1]]}, "geometry.malformed"),
        ({"type": "Polygon", "coordinates": [1]}, "geometry.malformed"),
        ({"type": "GeometryCollection"}, "geometry.malformed"),
        (
            {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": []}]},
            "geometry.malformed",
        ),
        ({"type": "MultiPoint", "coordinates": [[0, 0]] * 100_001}, "geometry.too_large"),
        ({"type": "GeometryCollection", "geometries": [SQUARE] * 10_001}, "geometry.too_large"),
    ],
)
def test_what_is_no_usable_geometry_is_refused(geometry, code):
    with pytest.raises(Invalid, match=code):
        to_shape(geometry)


def test_crossing_edges_are_refused_only_where_asked():
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    assert to_shape(bow_tie).geom_type == "Polygon"
    with pytest.raises(Invalid, match=r"geometry\.invalid"):
        to_shape(bow_tie, must_be_valid=True)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "coordinates", "geometries"]),
                inner | st.sampled_from(["Point", "Polygon", "GeometryCollection"]),
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_geometry_or_refused(value):
    try:
        assert to_shape(value) is not None
    except Invalid as refused:
        assert refused.code.startswith("geometry.")


def test_distances_on_the_ellipsoid():
    # One degree of the equator, and of the meridian at the pole (WGS 84).
    assert distance_m(0, 0, 1, 0) == pytest.approx(111_319.491, abs=0.01)
    assert distance_m(0, 89, 0, 90) == pytest.approx(111_693.865, abs=0.01)
    assert distance_m(179.5, 0, -179.5, 0) == pytest.approx(111_319.491, abs=0.01)
    assert distance_m(0, 0, 180, 0) == pytest.approx(20_003_931.459, abs=0.01)


@given(lons, lats, lons, lats)
def test_distance_is_the_same_both_ways(lon1, lat1, lon2, lat2):
    assert distance_m(lon1, lat1, lon2, lat2) == pytest.approx(distance_m(lon2, lat2, lon1, lat1), abs=1e-3)


def test_distance_to_a_shape():
    square = to_shape(SQUARE)
    assert distance_to_m(square, 0.5, 0.5) == 0
    assert distance_to_m(square, 2, 0.5) == pytest.approx(distance_m(2, 0.5, 1, 0.5), rel=1e-4)
    line = to_shape({"type": "LineString", "coordinates": [[116, 40], [117, 40]]})
    assert distance_to_m(line, 116.5, 40.01) == pytest.approx(1110.4, abs=1)


def test_area_and_length():
    assert area_m2(to_shape(SQUARE)) == pytest.approx(1.2309e10, rel=1e-3)
    backwards = {"type": "Polygon", "coordinates": [SQUARE["coordinates"][0][::-1]]}
    assert area_m2(to_shape(backwards)) == pytest.approx(area_m2(to_shape(SQUARE)))
    hole = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75], [0.25, 0.25]]
    holed = {"type": "Polygon", "coordinates": [SQUARE["coordinates"][0], hole]}
    assert area_m2(to_shape(holed)) == pytest.approx(area_m2(to_shape(SQUARE)) * 0.75, rel=1e-3)
    assert area_m2(to_shape(SHAPES[6])) == pytest.approx(area_m2(to_shape(SQUARE)))
    assert area_m2(to_shape(SHAPES[0])) == 0
    assert length_m(to_shape({"type": "LineString", "coordinates": [[0, 0], [1, 0]]})) == pytest.approx(
        111_319.49, abs=0.1
    )


def test_edges_belong_to_a_shape():
    square = to_shape(SQUARE)
    assert contains_point(square, 0, 0.5)
    assert contains_point(square, 1, 1)
    assert not contains_point(square, 1.0001, 1)


@pytest.mark.parametrize(("lon", "lat", "radius_m"), [(116.4, 39.9, 500), (0, 0, 10), (-70, -50, 20_000)])
def test_a_circle_lies_at_its_radius(lon, lat, radius_m):
    corners = circle(lon, lat, radius_m).exterior.coords
    assert [distance_m(lon, lat, x, y) for x, y in corners] == pytest.approx([radius_m] * len(corners), rel=1e-6)


@pytest.mark.parametrize("radius_m", [0, -1, math.nan, math.inf, 3e7])
def test_odd_radii_are_refused(radius_m):
    with pytest.raises(Invalid, match=r"geometry\.radius_malformed"):
        circle(0, 0, radius_m)
    with pytest.raises(Invalid, match=r"geometry\.radius_malformed"):
        box_around(0, 0, radius_m)


@given(lons, lats, st.floats(min_value=1, max_value=5e6), st.floats(min_value=0, max_value=360))
def test_a_box_around_holds_everything_within_the_radius(lon, lat, radius_m, azimuth):
    from pyproj import Geod

    far_lon, far_lat, _ = Geod(ellps="WGS84").fwd(lon, lat, azimuth, radius_m * 0.999)
    assert box_around(lon, lat, radius_m).contains(far_lon, far_lat)


def test_boxes():
    box = parse_box("116,39,117,40")
    assert box == Box(116, 39, 117, 40)
    assert box.contains(116, 40)
    assert not box.contains(115.9, 40)
    assert box_of(box.to_shape()) == box
    assert box_of(to_shape(SQUARE)) == Box(0, 0, 1, 1)


def test_a_box_across_the_antimeridian():
    box = parse_box("170,-10,-170,10")
    assert box.contains(179, 0)
    assert box.contains(-179, 0)
    assert not box.contains(0, 0)
    assert shapely.area(box.to_shape()) == 400


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "geometry.bbox_malformed"),
        ("1,2,3", "geometry.bbox_malformed"),
        ("a,b,c,d", "geometry.bbox_malformed"),
        ("0,10,1,5", "geometry.bbox_malformed"),
        ("0,0,181,1", "geometry.out_of_range"),
        ("nan,0,1,1", "geometry.out_of_range"),
    ],
)
def test_odd_boxes_are_refused(text, code):
    with pytest.raises(Invalid, match=code):
        parse_box(text)


def test_points_are_checked():
    assert point(1, 2) == {"type": "Point", "coordinates": [1, 2]}
    check_position(180, -90)
    with pytest.raises(Invalid, match=r"geometry\.out_of_range"):
        point(1, 91)
