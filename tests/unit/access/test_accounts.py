import pytest

from gulou.access import Principal
from gulou.kernel import Conflict, Denied, Invalid, NotFound

GOOD = "correct horse battery"


def test_the_first_admin_is_made_once(access):
    password = access.ensure_first_admin()
    assert access.ensure_first_admin() is None
    _token, principal = access.sign_in("admin", password, "127.0.0.1")
    assert principal.may("user.manage")
    assert principal.must_change_password


def test_names_are_told_apart_whatever_their_case_and_width(access, root):
    access.create_user(root, "Wang", GOOD)
    with pytest.raises(Conflict, match=r"access\.name_taken"):
        access.create_user(root, "ｗＡＮＧ", GOOD)
    assert access.accounts.find_by_name(" wang ").name == "Wang"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "access.password_short"),
        ("aaaaaaaaaaaa", "access.password_simple"),
        ("my-wang-password", "access.password_simple"),
        ("x1y2z" * 60, "access.password_long"),
    ],
)
def test_weak_passwords_are_refused(access, root, password, code):
    with pytest.raises(Invalid, match=code):
        access.create_user(root, "Wang", password)


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 201])
def test_odd_names_are_refused(access, root, name):
    with pytest.raises(Invalid, match=r"access\.name_malformed"):
        access.create_user(root, name, GOOD)


def test_unknown_roles_are_refused_and_nothing_is_created(access, root):
    with pytest.raises(Invalid, match=r"access\.role_unknown"):
        access.create_user(root, "Wang", GOOD, roles=["emperor"])
    assert access.accounts.list().total == 0


def test_only_who_may_manages_accounts(access):
    with pytest.raises(Denied, match=r"access\.denied"):
        access.create_user(Principal(kind="user", id="u", name="U"), "Wang", GOOD)


def test_the_last_admin_can_not_be_removed(access, root):
    access.ensure_first_admin()
    admin = access.accounts.find_by_name("admin")
    for attempt in (
        lambda: access.disable(root, admin.id),
        lambda: access.set_roles(root, admin.id, ["viewer"]),
        lambda: access.accounts.delete(root, admin.id),
    ):
        with pytest.raises(Conflict, match=r"access\.last_admin"):
            attempt()
    assert access.accounts.get(admin.id) == admin


def test_a_second_change_of_the_same_version_is_a_conflict(access, root):
    access.ensure_first_admin()
    user, _ = access.create_user(root, "Wang", GOOD)
    access.accounts.update(root, user.id, {"department": "water"}, version=1)
    with pytest.raises(Conflict, match=r"access\.user_changed"):
        access.accounts.update(root, user.id, {"department": "traffic"}, version=1)
    assert access.accounts.get(user.id).department == "water"


def test_lists_come_in_pages_without_gap_or_repetition(access, root):
    names = [f"user-{number:02d}" for number in range(7)]
    for name in reversed(names):
        access.create_user(root, name, GOOD)
    first = access.accounts.list(limit=3)
    second = access.accounts.list(limit=3, cursor=first.next)
    third = access.accounts.list(limit=3, cursor=second.next)
    assert [user.name for page in (first, second, third) for user in page.items] == names
    assert (first.total, third.next) == (7, None)


def test_search_takes_wildcards_as_letters(access, root):
    access.create_user(root, "per%cent", GOOD)
    access.create_user(root, "percent", GOOD)
    assert [user.name for user in access.accounts.list(q="r%c").items] == ["per%cent"]


def test_a_changed_password_ends_the_other_sessions_only(access, root):
    access.create_user(root, "Wang", GOOD)
    other, _ = access.sign_in("wang", GOOD, "a")
    own, principal = access.sign_in("wang", GOOD, "b")
    access.change_password(principal, GOOD, "another good one")
    assert access.authenticate_session(own).id == principal.id
    with pytest.raises(Denied):
        access.authenticate_session(other)
    access.sign_in("wang", "another good one", "c")


def test_a_password_is_not_changed_with_a_wrong_old_one(access, root):
    access.create_user(root, "Wang", GOOD)
    _, principal = access.sign_in("wang", GOOD, "b")
    with pytest.raises(Denied, match=r"access\.bad_password"):
        access.change_password(principal, "wrong", "another good one")
    access.sign_in("wang", GOOD, "b")


def test_a_reset_password_must_be_changed(access, root):
    user, _ = access.create_user(root, "Wang", GOOD)
    made_up = access.reset_password(root, user.id)
    _, principal = access.sign_in("wang", made_up, "a")
    assert principal.must_change_password


def test_an_unknown_account_is_named(access):
    with pytest.raises(NotFound, match=r"access\.user_unknown"):
        access.accounts.get("user-none")


def test_no_password_stands_in_the_records(access, root, database):
    _, made_up = access.create_user(root, "Wang")
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM accounts").all()
        trail = connection.exec_driver_sql("SELECT * FROM audit_entries").all()
    assert made_up not in repr(rows)
    assert made_up not in repr(trail)
