"""Topics, counters, manifests and discovery."""

from __future__ import annotations

import pytest

from gulou.connectivity.intake import Receipt
from gulou.kernel.documents import problems_of
from gulou.kernel.errors import Conflict, Invalid
from gulou.sensing.sdk import (
    Counters,
    TopicPattern,
    find_adapters,
    is_filter,
    is_topic,
    load_adapter,
    load_manifest,
    matches,
)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "does"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/a", True),
        ("+", "/a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter, topic, does):
    assert matches(topic_filter, topic) is does


@pytest.mark.parametrize("text", ["", "a#", "a/#/b", "a+", "a/b+/c", "\0", "/".join("a" * 100)])
def test_bad_filters(text):
    assert not is_filter(text)


@pytest.mark.parametrize("text", ["", "a/+", "#", "a\0"])
def test_bad_topics(text):
    assert not is_topic(text)


def test_captures_have_names():
    assert TopicPattern("city/+station/+kind/#").match("city/s1/air/x/y") == {"station": "s1", "kind": "air"}
    with pytest.raises(ValueError, match="no topic filter"):
        TopicPattern("city/x+station")


def test_counters_add_up():
    counters = Counters()
    counters.took(Receipt(1, 5, 3, 2), 0.003)
    counters.took(Receipt(2, 1, 1, 0), 99.0)
    counters.dropped(4)
    values = counters.values()
    assert (values.received, values.accepted, values.rejected, values.dropped) == (10, 4, 2, 4)
    assert (sum(values.latency), values.latency[-1]) == (2, 1)


def manifest(folder, **change):
    folder.mkdir(exist_ok=True, parents=True)
    fields = {"name": "x-line", "version": '"1"', "protocol": "x", "direction": "up", "description": "{en: x, zh: x}"}
    fields |= {"entry": ".code:create", **change}
    (folder / "manifest.yaml").write_text("\n".join(f"{key}: {value}" for key, value in fields.items()), "utf-8")
    return folder


def test_a_broken_manifest_is_refused_with_its_line(tmp_path):
    with pytest.raises(Invalid) as caught:
        load_manifest(manifest(tmp_path, direction="sideways") / "manifest.yaml")
    problem = problems_of(caught.value)[0]
    assert (problem.line, problem.params["key"]) == (4, "direction")
    with pytest.raises(Invalid) as caught:
        load_manifest(manifest(tmp_path, entri="x") / "manifest.yaml")
    assert problems_of(caught.value)[0].params["nearest"] == "entry"


def test_code_that_is_not_what_the_manifest_says_is_refused(tmp_path):
    manifest(tmp_path / "a")
    with pytest.raises(Invalid, match=r"adapter\.no_package"):
        load_adapter(tmp_path / "a")
    (tmp_path / "a" / "__init__.py").write_text("", "utf-8")
    found = load_adapter(tmp_path / "a")
    with pytest.raises(Invalid, match=r"adapter\.entry_missing"):
        found.make(None, None)
    manifest(tmp_path / "b", name="y-line")
    (tmp_path / "b" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "b" / "code.py").write_text("def create(settings, context):\n    return 7\n", "utf-8")
    with pytest.raises(Invalid, match=r"adapter\.entry_broken"):
        load_adapter(tmp_path / "b").make(None, None)


def test_two_adapters_of_one_name_are_refused(tmp_path):
    for name in ("a", "b"):
        manifest(tmp_path / name, name="same")
        (tmp_path / name / "__init__.py").write_text("", "utf-8")
    with pytest.raises(Conflict, match=r"adapter\.name_taken"):
        find_adapters([tmp_path])


def test_the_built_in_ones_are_found_with_their_settings():
    found = {one.manifest.name: one for one in find_adapters()}
    assert found["mqtt"].settings(None, {"GULOU_ADAPTER_MQTT_PORT": "18883"}).port == 18_883
    assert found["http"].settings(None, {}).max_body_bytes == 16_777_216
