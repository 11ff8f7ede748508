import math

import h3
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from gulou.kernel import Invalid, beidou
from gulou.kernel.geometry import Box, to_shape
from gulou.kernel.grid import h3_cell, h3_cells_over, h3_parent, h3_shape, parse_cell

lons = st.floats(min_value=-180, max_value=180)
lats = st.floats(min_value=-87.99, max_value=87.99)
levels = st.integers(min_value=1, max_value=10)


def degrees(degree, minute, second):
    return degree + minute / 60 + second / 3600


@pytest.mark.parametrize(
    ("lon", "lat", "level", "code"),
    [
        (degrees(116, 18, 45.37), degrees(39, 59, 35.38), 8, "N50J47539B825534"),
        (degrees(116, 18, 45.37), degrees(39, 59, 35.38), 10, "N50J47539B8255346152"),
        (-degrees(116, 18, 45.37), -degrees(39, 59, 35.38), 10, "S11J47539B8255346152"),
        (degrees(116, 19, 14.3184), degrees(39, 59, 56.1444), 5, "N50J475493E"),
        (degrees(116, 19, 5.9808), degrees(39, 59, 59.7012), 5, "N50J475491E"),
        (degrees(116, 19, 9.3540), degrees(39, 59, 56.5260), 5, "N50J475492E"),
    ],
)
def test_the_standards_vectors(lon, lat, level, code):
    assert beidou.encode(lon, lat, level) == code


def test_the_standards_vectors_with_height():
    cell = beidou.decode_3d("N036J0093000780B3010010520430140")
    assert cell.box == beidou.decode("N36J93078B3101524314").box
    assert beidou.encode_3d(*cell.center, 0.0) == "N036J0093000780B3010010520430140"
    # The top of the 256th layer of one degree.
    layers = 256 * 3600 * 2048
    assert beidou._height_m(layers) == pytest.approx(528_680_171.1252437, rel=1e-12)


@given(lons, lats, levels)
def test_a_cell_holds_the_point_that_it_was_made_from(lon, lat, level):
    cell = beidou.decode(beidou.encode(lon, lat, level))
    assert cell.level == level
    # Within half a unit of the last place of the smallest cell, by float rounding of the edges.
    assert cell.box.west - 1e-9 <= lon <= cell.box.east + 1e-9
    assert cell.box.south - 1e-9 <= lat <= cell.box.north + 1e-9


@given(lons, lats, levels)
def test_the_centre_of_a_cell_has_its_code(lon, lat, level):
    code = beidou.encode(lon, lat, level)
    assert beidou.encode(*beidou.decode(code).center, level) == code


@given(lons, lats, levels, levels)
def test_a_coarser_cell_is_a_prefix(lon, lat, level, coarser):
    assume(coarser <= level)
    code = beidou.encode(lon, lat, level)
    assert beidou.parent(code, coarser) == beidou.encode(lon, lat, coarser)
    assert code.startswith(beidou.parent(code, coarser))


@given(lons, lats, st.floats(min_value=-10_000, max_value=1e7), levels)
def test_a_cell_of_space_holds_its_point(lon, lat, height_m, level):
    cell = beidou.decode_3d(beidou.encode_3d(lon, lat, height_m, level))
    assert cell.bottom_m - 1e-6 <= height_m <= cell.top_m + 1e-6
    assert cell.level == level


def test_the_lengths_of_codes():
    assert [len(beidou.encode(116.3, 39.9, level)) for level in range(1, 11)] == [4, 6, 7, 9, 11, 12, 14, 16, 18, 20]
    assert len(beidou.encode_3d(116.3, 39.9, 40.0)) == 32


def test_decimal_edges_fall_into_the_cell_that_begins_there():
    # 116.1° is not exact in binary; its cell of one minute must still begin at it.
    assert beidou.decode(beidou.encode(116.1, 39.1, 4)).box.west == pytest.approx(116.1, abs=1e-12)
    assert beidou.decode(beidou.encode(-116.1, 39.1, 4)).box.east == pytest.approx(-116.1, abs=1e-12)


@pytest.mark.parametrize(
    ("lon", "lat"), [(180, 0), (-180, 0), (0, 0), (-0.0, -0.0), (6, 4), (-6, -4), (179.9999999999, 87.9)]
)
def test_the_edges_of_the_world(lon, lat):
    code = beidou.encode(lon, lat)
    assert beidou.encode(*beidou.decode(code).center) == code


@pytest.mark.parametrize(
    "code",
    [
        "",
        "N",
        "N50",
        "X50J",
        "N00J",
        "N61J",
        "N5OJ",
        "N50W",
        "N50j",
        "N50JC0",
        "N50J08",
        "N50J476",
        "N50J475F0",
        "N50J4750A",
        "N50J47539F8",
        "N50J47539B84",
        "N50J47539B8280",
        "N50J47539B82553461520",
        "N５０J",
    ],
)
def test_codes_that_cannot_be(code):
    with pytest.raises(Invalid, match=r"grid\.code_malformed"):
        beidou.decode(code)


@pytest.mark.parametrize(
    "code", ["", "N250J00", "N050J64", "N050JA0", "N050J00479", "N036J0093000780B301001052043014Z"]
)
def test_codes_with_height_that_cannot_be(code):
    with pytest.raises(Invalid, match=r"grid\.code_malformed"):
        beidou.decode_3d(code)


@given(st.text(alphabet="NS0123456789ABCDEFGHJKV", max_size=33))
def test_any_text_decodes_or_is_refused(code):
    for decode in (beidou.decode, beidou.decode_3d):
        try:
            assert decode(code).code == code
        except Invalid as refused:
            assert refused.code == "grid.code_malformed"


@pytest.mark.parametrize("latitude", [88, -88, 90, 89.5])
def test_the_polar_caps_are_refused(latitude):
    with pytest.raises(Invalid, match=r"grid\.polar"):
        beidou.encode(0, latitude)


@pytest.mark.parametrize("level", [0, 11, -1])
def test_levels_that_do_not_exist(level):
    with pytest.raises(Invalid, match=r"grid\.level_unknown"):
        beidou.encode(0, 0, level)


@pytest.mark.parametrize("height_m", [math.nan, math.inf, -6_378_137.0, 1e30])
def test_heights_that_cannot_be(height_m):
    with pytest.raises(Invalid, match=r"grid\.height_out_of_range"):
        beidou.encode_3d(0, 0, height_m)


@pytest.mark.parametrize(
    "box",
    [
        Box(116.3, 39.9, 116.35, 39.95),
        Box(-0.02, -0.02, 0.02, 0.02),
        Box(179.99, 10, -179.99, 10.02),
        Box(-10.05, -5.05, -10, -5),
        Box(1, 1, 1, 1),
    ],
)
def test_cells_over_a_box_cover_it_and_touch_it(box):
    codes = beidou.cells_over(box, 4)
    assert len(codes) == len(set(codes))
    shapes = [beidou.decode(code).box.to_shape() for code in codes]
    area = box.to_shape()
    assert shapely.difference(area, shapely.union_all(shapes).buffer(1e-9)).area == pytest.approx(0, abs=1e-12)
    assert all(shapely.distance(shape, area) < 1e-9 for shape in shapes)


def test_too_many_cells_are_refused():
    with pytest.raises(Invalid, match=r"grid\.too_many_cells"):
        beidou.cells_over(Box(0, 0, 10, 10), 6)


def test_a_cell_of_either_system_is_recognised():
    flat, hexagon = beidou.encode(116.4, 39.9, 5), h3_cell(116.4, 39.9, 9)
    assert (parse_cell(flat).system, parse_cell(flat).level) == ("beidou", 5)
    assert (parse_cell(hexagon).system, parse_cell(hexagon).level) == ("h3", 9)
    assert all(parse_cell(code).contains(116.4, 39.9) for code in (flat, hexagon))
    assert not any(parse_cell(code).contains(116.5, 39.9) for code in (flat, hexagon))
    assert parse_cell(hexagon).box.contains(116.4, 39.9)


@pytest.mark.parametrize(
    "code", ["", "zz", "8931aa42853fff", "8931AA42853FFFF", "0000000000000000", "8f31aa42853ffff0"]
)
def test_what_is_no_cell_of_either_system(code):
    with pytest.raises(Invalid, match=r"grid\.code_malformed"):
        parse_cell(code)


def test_h3_agrees_with_the_library_and_takes_lon_lat():
    assert h3_cell(116.4, 39.9, 9) == h3.latlng_to_cell(39.9, 116.4, 9)
    assert h3_parent(h3_cell(116.4, 39.9, 9), 5) == h3_cell(116.4, 39.9, 5)
    assert shapely.intersects_xy(h3_shape(h3_cell(116.4, 39.9, 9)), 116.4, 39.9)
    with pytest.raises(Invalid, match=r"grid\.level_unknown"):
        h3_cell(0, 0, 16)
    with pytest.raises(Invalid, match=r"grid\.level_unknown"):
        h3_parent(h3_cell(0, 0, 3), 4)


def test_an_h3_cell_across_the_antimeridian_stays_small():
    outline = h3_shape(h3_cell(179.999, 0, 4))
    assert outline.area < 1
    assert outline.bounds[0] == -180
    assert outline.bounds[2] == 180


@pytest.mark.parametrize(
    "geometry",
    [
        {
            "type": "Polygon",
            "coordinates": [[[116.3, 39.9], [116.4, 39.9], [116.4, 40.0], [116.3, 40.0], [116.3, 39.9]]],
        },
        {"type": "LineString", "coordinates": [[116.3, 39.9], [116.4, 40.0]]},
        {"type": "Point", "coordinates": [116.3, 39.9]},
        {"type": "MultiPoint", "coordinates": [[116.3, 39.9], [116.4, 39.9]]},
    ],
)
def test_h3_cells_over_a_shape_cover_it(geometry):
    shape = to_shape(geometry)
    cells = h3_cells_over(shape, 8)
    assert shapely.union_all([h3_shape(cell) for cell in cells]).buffer(1e-9).covers(shape)
    assert cells == sorted(set(cells))


def test_too_many_h3_cells_are_refused_before_they_are_made():
    country = Box(75, 20, 130, 50).to_shape()
    with pytest.raises(Invalid, match=r"grid\.too_many_cells"):
        h3_cells_over(country, 15)
    with pytest.raises(Invalid, match=r"grid\.too_many_cells"):
        h3_cells_over(to_shape({"type": "LineString", "coordinates": [[75, 20], [130, 50]]}), 15)
