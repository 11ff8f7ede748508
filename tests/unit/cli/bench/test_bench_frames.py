"""The frames of the load generator, against the product's own reading of MQTT where there is one."""

from hypothesis import given
from hypothesis import strategies as st

from gulou.cli.bench import frames


def whole(data):
    buffer = bytearray(data)
    found = list(frames.split(buffer))
    assert buffer == b""
    return found


def test_connect_is_as_the_standard_says():
    # OASIS MQTT 3.1.1, figure 3.6: protocol name, level 4, user name + password + clean session, keep-alive.
    assert frames.connect("c", "u", "p") == bytes.fromhex("10 13 0004 4d515454 04 c2 003c 0001 63 0001 75 0001 70")


def test_subscribe_is_as_the_standard_says():
    assert frames.subscribe(10, ["a/b"]) == bytes.fromhex("82 08 000a 0003 612f62 01")


@given(st.text(min_size=1, max_size=40), st.integers(1, 65_534), st.binary(max_size=20_000))
def test_a_publish_is_read_back_as_it_was_written(topic, packet_id, payload):
    ((kind, flags, body),) = whole(frames.publish(frames.topic_bytes(topic), packet_id, payload))

    assert kind == frames.PUBLISH
    assert frames.read_publish(flags, body) == (topic, packet_id.to_bytes(2, "big"), payload)


def test_a_publish_at_qos_0_has_no_packet_id():
    assert frames.read_publish(0, b"\x00\x01tdata") == ("t", None, b"data")


@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.data())
def test_frames_survive_being_cut_anywhere(sizes, data):
    sent = b"".join(frames.publish(frames.topic_bytes("t"), n + 1, b"x" * size) for n, size in enumerate(sizes))
    cut = data.draw(st.integers(0, len(sent)))
    buffer = bytearray(sent[:cut])
    got = list(frames.split(buffer))
    buffer += sent[cut:]
    got += list(frames.split(buffer))

    assert [len(body) for _, _, body in got] == [size + 5 for size in sizes]
    assert buffer == b""
