"""An area's cells say the same as its exact border."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, mapping, shape

from gulou.hub.rules.engine.area import Area

corners = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda one: (116.0 + one[0] / 4, 39.0 + one[1] / 4)),
    min_size=3,
    max_size=7,
    unique=True,
)
places = st.lists(st.tuples(st.integers(-8, 136), st.integers(-8, 136)), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(corners, places)
def test_cells_and_border_agree(ring, points):
    form = Point(ring[0]).union(shape({"type": "MultiPoint", "coordinates": ring})).convex_hull.buffer(0.1, 2)
    area = Area(mapping(form))
    for x, y in points:
        place = {"type": "Point", "coordinates": [116.0 + x / 64, 39.0 + y / 64]}
        assert area.holds(place) == form.covers(shape(place))


def test_what_is_no_place_says_nothing():
    area = Area({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]})
    line = {"type": "LineString", "coordinates": [[1, 1], [2, 2]]}
    assert area.holds(line) is True
    odd = ({"type": "Point"}, {"type": "Point", "coordinates": ["x", 1]}, {})
    assert [area.holds(one) for one in odd] == [None] * 3
    border = {"type": "Point", "coordinates": [4, 4, 100]}
    assert area.holds(border) is True
