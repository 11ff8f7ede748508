"""Rules run in the engine and are looked at in the web process: what is put aside there is heard and released here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from gulou.access import Principal
from gulou.cli.engine_desk import RuleBoard
from gulou.cli.web_desk import RuleDesk
from gulou.connectivity.bridge import BridgeClient, BridgeServer, BridgeSettings, Relay
from gulou.connectivity.bus import InProcessBus
from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.rules import Detection, EmptySurroundings, RuleQuery, RuleService, RuleSet, RuleSettings
from gulou.kernel import Conflict, Denied, VirtualClock
from gulou.records import Database
from gulou.vocabulary import Vocabulary

S = 1_000_000
START = 1_700_000_000 * S
TEXT = """rules:
  - id: level
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {red: 3}
    category: flood
    headline: "{name}"
"""


@pytest.fixture
def both(tmp_path) -> Iterator[SimpleNamespace]:
    """The engine's rules, and how they look from the web process, with a bridge between them."""
    rules = RuleSet.parse({"rules/a.yaml": TEXT}, Vocabulary.load(), pack="drains")
    database = Database.at(tmp_path / "r.db")
    database.create_tables()
    clock, there, here = VirtualClock(START), InProcessBus(), InProcessBus()
    service = RuleService(database, clock, there, EmptySurroundings())
    service.load(rules)
    service.start(0)
    settings, heard = BridgeSettings(), []
    server = BridgeServer(tmp_path / "engine.sock", there, Relay((Detection,)), settings)
    server.expose("rules", RuleBoard(service), RuleBoard)
    client = BridgeClient(tmp_path / "engine.sock", here, settings)
    here.subscribe(Detection, heard.append, name="warnings")
    server.start()
    client.start()
    assert client.wait(10)
    desk = RuleDesk(client.remote(RuleBoard, "rules"), EmptySurroundings(), RuleSettings())
    desk.load(rules)
    yield SimpleNamespace(service=service, desk=desk, heard=heard, clock=clock)
    client.stop()
    server.stop()
    for part in (here, there, database):
        part.close()


def wait_for(heard: list[Detection], count: int) -> list[tuple[str, str]]:
    deadline = time.monotonic() + 10
    while len(heard) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return [(one.state, one.entity_id) for one in heard]


def test_a_rule_that_fails_in_the_engine_is_heard_of_and_released_in_the_web_process(both, monkeypatch):
    judge = both.service._engine.judges["drains/level"]
    monkeypatch.setattr(type(judge), "judge", lambda *_: 1 / 0)
    for sequence in range(1, 4):
        both.clock.advance(1)
        at_us = both.clock.now_us()
        reading = Reading("urn:ngsi-ld:WaterLevelObserved:d", "WaterLevelObserved", "waterLevel", 1.0, at_us)
        both.service.apply(LogBatch(sequence, at_us, "test", (reading,)))
    monkeypatch.undo()
    both.service.close()  # a checkpoint

    rule = "urn:ngsi-ld:Rule:drains:level"
    assert wait_for(both.heard, 1) == [("raised", rule)]
    assert both.desk.get_rule("drains", "level").quarantined == "ZeroDivisionError: division by zero"
    assert both.desk.status()["quarantined"] == ["drains/level"]
    with pytest.raises(Denied):
        both.desk.release("drains", "level", Principal(kind="user", id="u", name="vera"))
    both.desk.release("drains", "level", Principal.system("test"))
    assert wait_for(both.heard, 2) == [("raised", rule), ("cleared", rule)]
    assert both.desk.get_rule("drains", "level").quarantined is None
    with pytest.raises(Conflict) as caught:
        both.desk.release("drains", "level", Principal.system("test"))
    assert caught.value.code == "rules.not_quarantined"


def test_rules_are_listed_by_pages_with_how_each_fares(both):
    rule = TEXT.removeprefix("rules:\n")
    text = "rules:\n" + "".join(rule.replace("id: level", f"id: level-{n}") for n in range(5))
    many = RuleSet.parse({"rules/b.yaml": text}, Vocabulary.load(), pack="many")
    both.service.load(many)
    both.desk.load(many)
    at_us = both.clock.now_us()
    reading = Reading("urn:ngsi-ld:WaterLevelObserved:d", "WaterLevelObserved", "waterLevel", 1.0, at_us)
    both.service.apply(LogBatch(1, at_us, "test", (reading,)))

    seen, after = [], None
    while True:
        for rules in (both.desk, both.service):
            page = rules.rules(RuleQuery(after=after, limit=2))
            assert (page.total, len(page.views)) == (6, 2)
            assert all(view.counters.taken == 1 for view in page.views)
        seen += [view.rule.id for view in page.views]
        after = page.following
        if after is None:
            break
    assert seen == ["drains/level", *(f"many/level-{n}" for n in range(5))]
    assert both.desk.rules(RuleQuery(pack="many", limit=5)).following is None
    assert both.desk.rules(RuleQuery(pack="many", after="many/level-4")).views == []
    assert both.desk.rules(RuleQuery(pack="nowhere")).total == 0


def test_rules_are_found_by_words_kind_and_state(both):
    own = {"new": "label: {en: New bridge}\n    enabled: false", "old": "label: {en: The Old Bridge, zh: 老桥水位}"}
    rule = TEXT.removeprefix("rules:\n")
    text = "rules:\n" + "".join(rule.replace("id: level", f"id: {name}\n    {keys}") for name, keys in own.items())
    found = RuleSet.parse({"rules/b.yaml": text}, Vocabulary.load(), pack="bridges")
    both.service.load(found)
    both.desk.load(found)

    def ids(**asked):
        told = [rules.rules(RuleQuery(**asked)) for rules in (both.desk, both.service)]
        assert [one.total for one in told] == [len(one.views) for one in told]
        assert [one.rule.id for one in told[0].views] == [one.rule.id for one in told[1].views]
        return [one.rule.id for one in told[0].views]

    assert ids(text="BRIDGE old") == ["bridges/old"]
    assert ids(text="老桥") == ["bridges/old"]
    assert ids(text="waterlevel bridge") == ["bridges/new", "bridges/old"]
    assert ids(text="bridge nothing") == []
    assert ids(text="  ") == ids()
    assert ids(kind="rate") == []
    assert ids(kind="threshold", text="drains") == ["drains/level"]
    assert ids(state="disabled") == ["bridges/new"]
    assert ids(state="active", pack="bridges") == ["bridges/old"]
    assert ids(state="quarantined") == []
