import pytest

from gulou.kernel import Invalid


def test_a_made_up_secret_opens_its_own_device_only(credentials):
    secret = credentials.issue("pump-1")
    credentials.issue("pump-2")
    assert credentials.verify("pump-1", secret)
    assert not credentials.verify("pump-2", secret)
    assert not credentials.verify("pump-1", secret[:-1])
    assert not credentials.verify("pump-3", secret)


def test_a_new_secret_replaces_the_old_one(credentials):
    old = credentials.issue("pump-1")
    credentials.set("pump-1", "chosen by hand")
    assert not credentials.verify("pump-1", old)
    assert credentials.verify("pump-1", "chosen by hand")
    assert credentials.verify("pump-1", "chosen by hand")


def test_a_remembered_check_does_not_outlive_the_secret(credentials):
    credentials.set("pump-1", "chosen by hand")
    assert credentials.verify("pump-1", "chosen by hand")
    credentials.set("pump-1", "another choice")
    assert not credentials.verify("pump-1", "chosen by hand")


def test_a_revoked_device_stays_out(credentials):
    secret = credentials.issue("pump-1")
    credentials.revoke("pump-1")
    assert not credentials.verify("pump-1", secret)
    assert not credentials.has("pump-1")


def test_guessing_is_slowed_but_who_is_known_goes_on(credentials, clock):
    credentials.set("pump-1", "chosen by hand")
    credentials.set("pump-2", "chosen by hand")
    assert credentials.verify("pump-1", "chosen by hand")
    assert not any(
        credentials.verify(device, f"guess number {n}") for n in range(12) for device in ("pump-1", "pump-2")
    )
    assert credentials.verify("pump-1", "chosen by hand")
    assert not credentials.verify("pump-2", "chosen by hand")
    clock.advance(30)
    assert credentials.verify("pump-2", "chosen by hand")


def test_secrets_of_many_are_set_at_once_or_not_at_all(credentials):
    issued = credentials.issue_many(f"meter-{number}" for number in range(1200))
    assert all(credentials.verify(device_id, issued[device_id]) for device_id in list(issued)[::100])
    with pytest.raises(Invalid, match=r"access\.secret_short"):
        credentials.set_many({"meter-1": "long enough here", "meter-2": "short"})
    assert credentials.verify("meter-1", issued["meter-1"])


def test_nothing_readable_is_kept(credentials, database):
    secret = credentials.issue("pump-1")
    with database.reading() as connection:
        assert secret not in repr(connection.exec_driver_sql("SELECT * FROM device_credentials").all())


@pytest.mark.parametrize(
    ("device", "secret"), [("x" * 129, "whatever"), ("pump-1", "x" * 257), ("", ""), ("pump-1", "")]
)
def test_odd_input_is_just_wrong(credentials, device, secret):
    credentials.issue("pump-1")
    assert not credentials.verify(device, secret)
