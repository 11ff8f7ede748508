"""The index of live clients finds whom asking each of them would find."""

from hypothesis import given
from hypothesis import strategies as st

from gulou.access import Permission, Principal
from gulou.api.live_index import LiveIndex
from gulou.api.mailbox import Mailbox
from gulou.api.schemas.live import LiveEntitiesWanted, LiveWanted

ALL = Principal.system("test")
PUMPS = Principal("user", "u", "u", permissions=(Permission("entity.read", None, frozenset({"Pump"})),))
corner = st.sampled_from([-0.2, 0.0, 0.05, 0.1, 0.35, 9.0])
boxes = st.one_of(st.none(), st.tuples(corner, corner, corner, corner))
wishes = st.one_of(
    st.booleans(),
    st.builds(
        lambda types, ids, bbox: LiveEntitiesWanted(types=types, ids=ids, bbox=bbox),
        st.one_of(st.none(), st.lists(st.sampled_from(["Pump", "Gate"]), unique=True)),
        st.one_of(st.none(), st.lists(st.sampled_from(["urn:a:1", "urn:a:2"]), unique=True)),
        boxes,
    ),
)
entities = st.tuples(
    st.sampled_from(["urn:a:1", "urn:a:2", "urn:a:3"]),
    st.sampled_from(["Pump", "Gate"]),
    st.one_of(st.none(), st.tuples(corner, corner)),
)


def box_of(wish, principal):
    mailbox = Mailbox(principal, lambda: None, 10, 10)
    mailbox.wanted = LiveWanted(entities=wish)
    return mailbox


@given(st.lists(st.tuples(wishes, st.sampled_from([ALL, PUMPS])), max_size=6), st.lists(entities, max_size=6))
def test_it_finds_exactly_those_that_want_it(clients, changed):
    mailboxes = [box_of(*client) for client in clients]
    index = LiveIndex(mailboxes)
    for entity_id, entity_type, point in changed:
        found = list(index.concerned(entity_id, entity_type, point))
        wanting = [one for one in mailboxes if one.wants_entity(entity_id, entity_type, point)]
        assert sorted(map(id, found)) == sorted(map(id, wanting))
        watched = [one for one in index.interests if one.wants(entity_id, (entity_type,), point)]
        assert len(watched) >= len(wanting)
