"""Which entities a rule selects follows what is told of them, at once; nothing is looked up again and again for it."""

from __future__ import annotations

import numpy as np
import pytest

from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.rules.engine import Engine

S = 1_000_000
DRAIN = "urn:ngsi-ld:WaterLevelObserved:d1"
RULES = """
rules:
  - id: drain
    kind: threshold
    select: {type: WaterLevelObserved, where: siteCategory = 'drain'}
    value: waterLevel
    levels: {red: 2.0}
    category: flood
    headline: "{name}"
"""


class Asked:
    """A city that counts how often it is asked."""

    def __init__(self, city):
        self.city, self.count = city, 0
        self.entity_ids, self.related_to, self.device_of = city.entity_ids, city.related_to, city.device_of

    def attributes(self, entity_id):
        self.count += 1
        return self.city.attributes(entity_id)


@pytest.fixture
def house(kit):
    city = Asked(kit.City())
    series = SeriesCatalogue()
    engine = Engine(city, city, series)
    rules = kit.parse(RULES)
    engine.replace(rules.pack, rules.rules)
    return city, series, engine


def level(engine, series, second, value):
    number = series.number_of(DRAIN, "WaterLevelObserved", "waterLevel", "gauge")
    rows = Columns(np.array([number], np.int32), np.array([second * S], np.int64), np.array([value]))
    engine.apply(LogBatch(second, second * S, "mqtt", (), columns=rows))
    return [one.detection.state for one in engine.take_found()[0]]


def test_a_direct_write_is_heeded_with_the_next_reading(house):
    city, series, engine = house
    assert level(engine, series, 1, 3.0) == []
    assert level(engine, series, 2, 3.1) == []
    city.city.entities[DRAIN] = {"siteCategory": "drain"}
    assert level(engine, series, 3, 3.2) == []  # nobody has told it
    engine.described(DRAIN, ("WaterLevelObserved",))
    assert level(engine, series, 4, 3.3) == ["raised"]


def test_an_attribute_that_comes_as_a_reading_is_heeded_too(house):
    city, series, engine = house
    assert level(engine, series, 1, 3.0) == []
    city.city.entities[DRAIN] = {"siteCategory": "drain"}
    told = Reading(DRAIN, "WaterLevelObserved", "siteCategory", "drain", 2 * S)
    engine.apply(LogBatch(2, 2 * S, "http", (told,)))
    assert level(engine, series, 3, 3.0) == ["raised"]


def test_what_nobody_told_is_looked_up_rarely(house):
    city, series, engine = house
    for second in range(1, 500):
        level(engine, series, second, 1.0 + second / 1000)
    assert city.count == 1
    for second in range(500, 2_000, 100):
        level(engine, series, second, 1.0 + second / 10_000)
    assert 2 <= city.count <= 4
