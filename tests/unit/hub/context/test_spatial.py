import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping

from gulou.hub.context import EntityQuery
from gulou.kernel.geometry import Box as Bounds
from gulou.kernel.geometry import distance_m
from gulou.kernel.grid import h3_cell, h3_shape

from .building import ADMIN, Box, batch, entity, point, reading, urn

lons, lats = st.floats(116.2, 116.6), st.floats(39.8, 40.1)
points = st.lists(st.tuples(lons, lats), min_size=1, max_size=25)


def city(places):
    context = Box()
    readings = [
        reading({"type": "Point", "coordinates": list(place)}, name="location", local=f"d-{n:02}", kind="GeoProperty")
        for n, place in enumerate(places)
    ]
    context.apply(batch(1, *readings))
    return context


def found(context, **query):
    return {int(one.id[-2:]) for one in context.find_entities(EntityQuery(limit=1000, **query)).items}


@settings(max_examples=60, deadline=None)
@given(points, lons, lats, st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_box_finds_what_lies_in_it(places, west, south, width, height):
    box = Bounds(west, south, west + width, south + height)
    expected = {n for n, (x, y) in enumerate(places) if west <= x <= west + width and south <= y <= south + height}
    context = city(places)
    assert found(context, box=box) == expected
    assert context.places(None, box, 1000)[1] == len(expected)


@settings(max_examples=60, deadline=None)
@given(points, lons, lats, st.floats(1, 30_000))
def test_a_radius_finds_what_is_near(places, lon, lat, radius_m):
    expected = {n for n, (x, y) in enumerate(places) if distance_m(lon, lat, x, y) <= radius_m}
    assert found(city(places), near=(lon, lat, radius_m)) == expected


@settings(max_examples=60, deadline=None)
@given(points, st.lists(st.tuples(lons, lats), min_size=3, max_size=6))
def test_a_polygon_finds_what_is_inside(places, corners):
    hull = shapely.convex_hull(shapely.MultiPoint(corners)).buffer(1e-4)
    expected = {n for n, (x, y) in enumerate(places) if hull.intersects(shapely.Point(x, y))}
    assert found(city(places), polygon=mapping(hull)) == expected


@settings(max_examples=40, deadline=None)
@given(points, st.integers(3, 12))
def test_a_cell_finds_what_belongs_to_it(places, resolution):
    context = city(places)
    cells = context.cells(urn("d-00"))
    expected = {n for n, (x, y) in enumerate(places) if h3_cell(x, y, resolution) == cells.h3[resolution]}
    assert found(context, cell=cells.h3[resolution]) == expected
    level = 1 + resolution % 10
    code = cells.beidou[level]
    same = {n for n in range(len(places)) if context.cells(urn(f"d-{n:02}")).beidou[level] == code}
    assert found(context, cell=code) == same


def test_shapes_are_found_where_they_touch_and_the_city_everywhere():
    context = Box()
    road = {"type": "LineString", "coordinates": [[116.30, 39.90], [116.50, 39.90]]}
    whole = {"type": "Polygon", "coordinates": [[[115, 39], [118, 39], [118, 41], [115, 41], [115, 39]]]}
    context.upsert_entity(entity("r", "Road", location={"type": "GeoProperty", "value": road}), ADMIN)
    context.upsert_entity(entity("c", "District", location={"type": "GeoProperty", "value": whole}), ADMIN)
    context.upsert_entity(entity("p", location=point(116.4, 39.95)), ADMIN)

    def ids(**query):
        return [one.id.rpartition(":")[2] for one in context.find_entities(EntityQuery(**query)).items]

    assert ids(box=Bounds(116.39, 39.89, 116.41, 39.91)) == ["c", "r"]
    assert ids(near=(116.4, 39.91, 1200.0)) == ["c", "r"]
    assert ids(near=(116.4, 39.91, 1000.0)) == ["c"]
    assert ids(polygon=mapping(shapely.box(116.45, 39.85, 116.46, 39.96))) == ["c", "r"]
    assert ids(cell=h3_cell(116.4, 39.9, 9), types=("Road",)) == ["r"]
    assert ids(box=Bounds(-180, -90, 180, 90)) == ["c", "r", "p"]
    assert ids(box=Bounds(10, 10, 11, 11)) == []
    assert ids(box=Bounds(116, 39, 117, 40), polygon=mapping(h3_shape(h3_cell(116.4, 39.95, 9)))) == ["c", "p"]
    assert ids(ids=(urn("p"), urn("r", "Road"), "urn:x:none"), box=Bounds(116.39, 39.94, 116.41, 39.96)) == ["p"]
    assert context.position_of(urn("c", "District")) is not None


def test_a_box_across_the_antimeridian():
    context = city([(179.99, 0.0), (-179.99, 0.0), (0.0, 0.0)])
    assert found(context, box=Bounds(179.9, -1, -179.9, 1)) == {0, 1}


def test_what_moves_is_found_where_it_is_only():
    context = Box()
    for second, lon in enumerate([116.3, 116.4, 116.4001, 116.3]):
        where = {"type": "Point", "coordinates": [lon, 39.9]}
        context.apply(batch(second + 1, reading(where, second, "location", "d-00", "Vehicle", kind="GeoProperty")))
        here = Bounds(lon - 0.001, 39.8, lon + 0.001, 40.0)
        assert found(context, box=here) == {0}
        assert found(context, box=Bounds(116.2, 39.8, 116.5, 40.0)) == {0}
        assert context.places(["Vehicle"], here, 5)[0][0].lon == lon
    assert found(context, box=Bounds(116.399, 39.8, 116.402, 40.0)) == set()


def test_a_place_that_cannot_be_used_takes_it_off_the_map_and_breaks_nothing():
    context = city([(116.4, 39.9)])
    for second, value in enumerate(
        [{"type": "Point", "coordinates": [999, 0]}, "nowhere", {"type": "Point"}, 5], start=1
    ):
        context.apply(batch(second + 1, reading(value, second, "location", "d-00", kind="GeoProperty")))
        assert context.position_of(urn("d-00")) is None
        assert context.cells(urn("d-00")).h3 == {}
        assert found(context, box=Bounds(-180, -90, 180, 90)) == set()
    assert context.get_entity(urn("d-00")).plain("location") == 5
