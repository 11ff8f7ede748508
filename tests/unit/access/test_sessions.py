from concurrent.futures import ThreadPoolExecutor

import pytest

from gulou.access import Permission, Principal
from gulou.kernel import Denied, Invalid, NotFound

GOOD = "correct horse battery"


@pytest.fixture
def wang(access, root):
    access.ensure_first_admin()
    user, _ = access.create_user(root, "Wang", GOOD, roles=["steward"], department="water")
    return user


def fails(access, name="wang", password="wrong wrong", address="10.0.0.1"):
    with pytest.raises(Denied) as refused:
        access.sign_in(name, password, address)
    return refused.value.code


def test_a_session_carries_roles_department_and_permissions(access, wang):
    token, _ = access.sign_in("WANG", GOOD, "10.0.0.1")
    principal = access.authenticate_session(token)
    assert (principal.id, principal.roles, principal.department) == (wang.id, ("steward",), "water")
    assert principal.may("device.write", "water")
    assert not principal.may("device.write", "traffic")


def test_a_wrong_name_and_a_wrong_password_look_alike(access, wang):
    assert fails(access, name="nobody") == fails(access) == "access.bad_credentials"


def test_a_disabled_account_looks_like_a_wrong_password_and_loses_its_sessions(access, root, wang):
    token, _ = access.sign_in("wang", GOOD, "a")
    access.disable(root, wang.id)
    assert fails(access, password=GOOD) == "access.bad_credentials"
    with pytest.raises(Denied, match=r"access\.unauthenticated"):
        access.authenticate_session(token)


def test_new_roles_hold_from_the_next_request_on(access, root, wang):
    token, _ = access.sign_in("wang", GOOD, "a")
    access.set_roles(root, wang.id, ["viewer"])
    assert not access.authenticate_session(token).may("device.write")


def test_a_session_ends_when_idle(access, wang, clock):
    token, _ = access.sign_in("wang", GOOD, "a")
    clock.advance(8 * 3600 - 1)
    access.authenticate_session(token)
    clock.advance(8 * 3600 - 1)
    access.authenticate_session(token)
    clock.advance(8 * 3600)
    with pytest.raises(Denied, match=r"access\.session_expired"):
        access.authenticate_session(token)


def test_a_session_ends_in_any_case_after_a_day(access, wang, clock):
    token, _ = access.sign_in("wang", GOOD, "a")
    for _ in range(23):
        clock.advance(3600)
        access.authenticate_session(token)
    clock.advance(3600)
    with pytest.raises(Denied, match=r"access\.session_expired"):
        access.authenticate_session(token)


def test_signing_out_ends_this_session_only(access, wang):
    one, principal = access.sign_in("wang", GOOD, "a")
    two, _ = access.sign_in("wang", GOOD, "a")
    access.sign_out(principal)
    with pytest.raises(Denied):
        access.authenticate_session(one)
    access.authenticate_session(two)


def test_the_oldest_of_too_many_sessions_ends(access, wang, clock):
    first, _ = access.sign_in("wang", GOOD, "a")
    for _ in range(20):
        clock.advance(1)
        last, _ = access.sign_in("wang", GOOD, "a")
    with pytest.raises(Denied):
        access.authenticate_session(first)
    access.authenticate_session(last)


def test_five_wrong_passwords_lock_the_name_even_for_the_right_one(access, wang, clock):
    codes = [fails(access) for _ in range(5)]
    assert codes == ["access.bad_credentials"] * 5
    assert fails(access, password=GOOD, address="10.9.9.9") == "access.locked"
    assert access.locked_until_us(wang) == clock.now_us() + 15_000_000
    clock.advance(15)
    access.sign_in("wang", GOOD, "10.0.0.1")
    assert access.locked_until_us(wang) is None


def test_locks_grow_up_to_a_bound(access, wang, clock):
    for _ in range(5):
        fails(access)
    waits = []
    for _ in range(8):
        waits.append((access.locked_until_us(wang) - clock.now_us()) // 1_000_000)
        clock.advance(waits[-1])
        fails(access, address=f"10.0.1.{len(waits)}")
    assert waits == [15, 30, 60, 120, 240, 480, 900, 900]


def test_unknown_names_lock_like_known_ones(access, wang):
    codes = [fails(access, name="nobody") for _ in range(6)]
    assert codes[5] == "access.locked"


def test_an_address_that_tries_many_names_is_locked(access, wang):
    codes = [fails(access, name=f"name-{number}") for number in range(31)]
    assert codes[30] == "access.locked"
    assert fails(access, password=GOOD) == "access.locked"
    access.sign_in("wang", GOOD, "10.0.0.2")


def test_a_burst_of_guesses_does_not_slip_past_the_lock(access, wang):
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: fails(access), range(16)))
    assert codes.count("access.bad_credentials") == 5


def test_a_token_works_until_it_expires(access, root, clock):
    token, secret = access.create_token(root, "loader", [Permission("intake.write")], expires_in_days=1)
    principal = access.authenticate_token(secret)
    assert (principal.kind, principal.id, principal.may("intake.write")) == ("token", token.id, True)
    assert not principal.may("intake.read")
    clock.advance(86_400)
    with pytest.raises(Denied, match=r"access\.token_expired"):
        access.authenticate_token(secret)


def test_a_revoked_token_is_worthless_and_revoking_is_idempotent(access, root):
    token, secret = access.create_token(root, "loader", [Permission("intake.write")])
    access.revoke_token(root, token.id)
    access.revoke_token(root, token.id)
    with pytest.raises(Denied, match=r"access\.unauthenticated"):
        access.authenticate_token(secret)
    assert len(access.audit.list().items) == 2


@pytest.mark.parametrize("secret", ["", "gulou_", "gulou_" + "x" * 43, "nonsense", "gulou_" + "x" * 10_000, "gulou_密"])
def test_made_up_tokens_are_refused(access, secret):
    with pytest.raises(Denied, match=r"access\.unauthenticated"):
        access.authenticate_token(secret)


def test_a_token_can_not_do_more_than_its_maker(access):
    maker = Principal(
        kind="user",
        id="u",
        name="U",
        permissions=(Permission("token.manage"), Permission("device.read", frozenset({"water"}))),
    )
    with pytest.raises(Denied, match=r"access\.token_too_wide"):
        access.create_token(maker, "t", [Permission("device.read")])
    with pytest.raises(Invalid, match=r"access\.token_empty"):
        access.create_token(maker, "t", [])
    access.create_token(maker, "t", [Permission("device.read", frozenset({"water"}), frozenset({"Pump"}))])


def test_tokens_end_with_the_account_that_made_them(access, root, wang):
    access.set_roles(root, wang.id, ["admin"])
    _, principal = access.sign_in("wang", GOOD, "a")
    _, secret = access.create_token(principal, "t", [Permission("device.read")])
    access.disable(root, wang.id)
    with pytest.raises(Denied):
        access.authenticate_token(secret)


def test_tokens_come_in_pages(access, root):
    made = [access.create_token(root, f"t{number}", [Permission("device.read")])[0].id for number in range(5)]
    first = access.tokens.list(limit=2)
    second = access.tokens.list(limit=2, cursor=first.next)
    third = access.tokens.list(limit=2, cursor=second.next)
    assert sorted(token.id for page in (first, second, third) for token in page.items) == sorted(made)
    assert third.next is None


def test_an_unknown_token_and_a_bad_cursor_are_named(access, root):
    with pytest.raises(NotFound, match=r"access\.token_unknown"):
        access.revoke_token(root, "tok-none")
    with pytest.raises(Invalid, match=r"request\.bad_cursor"):
        access.tokens.list(cursor="'; DROP")


def test_who_signed_in_and_from_where_is_on_the_trail(access, wang):
    fails(access)
    access.sign_in("wang", GOOD, "10.0.0.7")
    entries = [entry for entry in access.audit.list().items if entry.action == "user.signed_in"]
    assert [(entry.actor_id, entry.details) for entry in entries] == [(wang.id, {"address": "10.0.0.7"})]
