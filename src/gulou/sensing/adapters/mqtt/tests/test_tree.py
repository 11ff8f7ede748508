"""The tree finds what asking every filter finds, and its memory goes with its content."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gulou.sensing.adapters.mqtt.endpoint.grants import overlap
from gulou.sensing.adapters.mqtt.endpoint.tree import TopicTree
from gulou.sensing.sdk import is_filter, matches

LEVEL = st.sampled_from(["", "a", "b", "$x"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTER = (
    st.lists(st.sampled_from(["", "a", "b", "+", "#", "$x"]), min_size=1, max_size=4).map("/".join).filter(is_filter)
)


@given(st.lists(st.tuples(FILTER, st.integers(0, 3)), max_size=12), TOPIC)
def test_a_topic_finds_the_filters_that_match_it(entries, topic):
    tree = TopicTree()
    for path, key in entries:
        tree.put(path, key, path)
    found = sorted(tree.matching(topic))
    assert found == sorted((key, path) for path, key in set(entries) if matches(path, topic))


@given(st.lists(TOPIC, max_size=12), FILTER)
def test_a_filter_finds_the_topics_that_it_matches(topics, topic_filter):
    tree = TopicTree()
    for topic in topics:
        tree.put(topic, topic, None)
    assert sorted(topic for topic, _ in tree.under(topic_filter)) == sorted(
        topic for topic in set(topics) if matches(topic_filter, topic)
    )


@given(st.lists(st.tuples(FILTER, st.integers(0, 3)), max_size=12), st.randoms())
def test_an_emptied_tree_is_empty(entries, random):
    tree = TopicTree()
    for path, key in entries:
        tree.put(path, key, key)
    assert len(tree) == len(set(entries))
    wanted = list(set(entries))
    random.shuffle(wanted)
    assert all(tree.get(path, key) == key and tree.remove(path, key) for path, key in wanted)
    assert not any(tree.remove(path, key) for path, key in wanted)
    assert (len(tree), tree._root.below) == (0, {})


@given(FILTER, FILTER, TOPIC)
def test_filters_that_a_topic_matches_both_overlap(first, second, topic):
    both = matches(first, topic) and matches(second, topic)
    assert overlap(first, second) or not both
    assert overlap(first, second) == overlap(second, first)


def test_filters_that_have_no_topic_in_common_do_not_overlap():
    apart = [("a/+", "b/#"), ("a", "a/b"), ("+", "$x"), ("#", "$x/a"), ("a/b/c", "+/b"), ("a/+/c", "a/b/d")]
    assert [overlap(*pair) for pair in apart] == [False] * len(apart)
    assert all(overlap(*pair) for pair in [("a/#", "a"), ("+/b", "a/+"), ("#", "a/b"), ("$x/#", "$x/a")])
