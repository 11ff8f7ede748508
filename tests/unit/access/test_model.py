import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.access import ACTIONS, BUILT_IN_ROLES, Permission, Principal
from gulou.kernel import Denied, Invalid

scopes = st.none() | st.frozensets(st.sampled_from(["water", "traffic", "police"]), max_size=3)
permissions = st.builds(Permission, st.sampled_from(sorted(ACTIONS)), scopes, scopes)


def officer(*given: Permission) -> Principal:
    return Principal(kind="user", id="u", name="U", permissions=given)


def test_nothing_is_permitted_without_a_permission():
    assert not any(officer().may(action) for action in ACTIONS)


def test_a_department_scope_lets_only_that_department_in():
    steward = officer(Permission("device.write", departments=frozenset({"water"})))
    assert steward.may("device.write", department="water")
    assert not steward.may("device.write", department="traffic")
    assert not steward.may("device.read", department="water")


def test_what_belongs_to_nobody_is_common_to_all():
    assert officer(Permission("device.write", departments=frozenset({"water"}))).may("device.write", department=None)


def test_an_empty_scope_reaches_nothing_at_all():
    nowhere = officer(Permission("entity.read", frozenset()), Permission("entity.read", None, frozenset()))
    assert not nowhere.may("entity.read")
    assert not nowhere.may("entity.read", "water", "Pump")


def test_scopes_of_different_permissions_do_not_mix():
    mixed = officer(
        Permission("entity.read", frozenset({"water"}), frozenset({"Pump"})),
        Permission("entity.read", frozenset({"traffic"}), frozenset({"Camera"})),
    )
    assert mixed.may("entity.read", "water", "Pump")
    assert not mixed.may("entity.read", "water", "Camera")
    assert mixed.departments("entity.read") == {"water", "traffic"}
    assert mixed.entity_types("entity.read") == {"Pump", "Camera"}


def test_an_unscoped_permission_makes_the_list_filter_unlimited():
    wide = officer(Permission("entity.read", frozenset({"water"})), Permission("entity.read"))
    assert wide.departments("entity.read") is None


def test_a_lacking_action_makes_the_list_filter_empty():
    assert officer().departments("entity.read") == frozenset()


def test_require_names_what_is_missing():
    with pytest.raises(Denied) as refused:
        officer().require("device.command", department="water")
    assert refused.value.code == "access.denied"
    assert refused.value.params["action"] == "device.command"


def test_an_unknown_action_is_refused_at_once():
    with pytest.raises(Invalid, match=r"access\.action_unknown"):
        Permission("device.explode")


def test_the_system_may_do_everything():
    assert all(Principal.system("rules").may(action, "water", "Pump") for action in ACTIONS)


@given(permissions, permissions, st.sampled_from(["water", "traffic"]), st.sampled_from(["water", "police"]))
def test_a_permission_that_includes_another_covers_all_that_it_covers(wide, narrow, department, entity_type):
    included = wide.includes(narrow)
    covered = narrow.covers(narrow.action, department, entity_type)
    assert not (included and covered) or wide.covers(narrow.action, department, entity_type)


@given(permissions)
def test_a_permission_includes_itself(permission):
    assert permission.includes(permission)


def test_built_in_roles_only_use_known_actions_and_only_the_admin_manages_accounts():
    managers = {name for name, role in BUILT_IN_ROLES.items() if "user.manage" in role.actions}
    assert managers == {"admin"}
    assert {action for role in BUILT_IN_ROLES.values() for action in role.actions} <= ACTIONS


def test_the_steward_is_bound_to_the_own_department():
    given_permissions = BUILT_IN_ROLES["steward"].permissions_for("water")
    assert all(permission.departments == frozenset({"water"}) for permission in given_permissions)
