"""The door: what comes in is stored, rejected or dropped, and every one of them is counted."""

import asyncio

import pytest

from gulou.connectivity.intake import Flaw, IntakeSettings, MemoryLog, Payload, RejectQuery, Submission
from gulou.kernel.errors import Fault, Invalid, Unavailable


def take(service, submission):
    return service.submit(submission).result(10)


def balanced(account):
    return account.received == account.stored + account.rejected + account.dropped


def test_a_sound_reading_is_stored_and_reaches_every_consumer(kit):
    first, second = kit.Collector("first"), kit.Collector("second")
    service = kit.start(first, second)
    receipt = take(service, kit.submission(kit.reading(1), kit.reading(2, 1.5)))
    service.settle(10)
    assert (receipt.sequence, receipt.received, receipt.stored, receipt.rejected) == (1, 2, 2, 0)
    assert first.readings() == second.readings() == [kit.reading(1), kit.reading(2, 1.5)]
    assert first.batches[0].received_at_us == kit.now_us


def test_a_unit_is_converted_and_then_gone(kit):
    collector = kit.Collector()
    service = kit.start(collector)
    take(service, kit.submission(kit.reading(1, 250, unit_code="cm")))
    service.settle(10)
    [stored] = collector.readings()
    assert (stored.value, stored.unit_code) == (2.5, None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": 31.0}, "reading.out_of_range"),
        ({"value": "two"}, "reading.not_a_number"),
        ({"value": float("nan")}, "reading.not_a_number"),
        ({"value": float("inf")}, "reading.not_a_number"),
        ({"value": 10**400}, "intake.value_unstorable"),
        ({"value": 10**30}, "reading.out_of_range"),
        ({"value": b"bytes"}, "intake.value_unstorable"),
        ({"value": "\ud800", "property": "name"}, "intake.value_unstorable"),
        ({"value": "x" * 70_000, "property": "name"}, "intake.value_too_long"),
        ({"value": {"a": object()}, "property": "location"}, "intake.value_unstorable"),
        ({"entity_type": "Dragon"}, "reading.type_unknown"),
        ({"property": "scales"}, "reading.property_unknown"),
        ({"unit_code": "furlong"}, "reading.unit_unknown"),
        ({"kind": "Rumour"}, "intake.kind_unknown"),
        ({"flags": ("x" * 5000,)}, "intake.flags_malformed"),
        ({"dataset_id": "no urn"}, "id.malformed"),
        ({"second": 3600 + 301}, "clock.future"),
        ({"second": -60 * 365 * 86400}, "clock.past"),
        ({"entity": "white space"}, "id.malformed"),
        ({"entity": "x" * 600}, "id.malformed"),
        ({"entity": "line\nbreak"}, "id.malformed"),
    ],
)
def test_a_bad_reading_becomes_a_reject_and_the_others_go_on(kit, changes, code):
    collector = kit.Collector()
    service = kit.start(collector)
    receipt = take(service, kit.submission(kit.reading(**changes), kit.reading(5), raw=b"as it came"))
    service.settle(10)
    assert (receipt.received, receipt.stored, receipt.rejected) == (2, 1, 1)
    assert [flaw.code for flaw in receipt.problems] == [code]
    assert collector.readings() == [kit.reading(5)]
    [reject] = kit.rejects.list_rejected(RejectQuery()).items
    assert (reject.code, reject.raw, reject.address) == (code, b"as it came", "topic/1")
    assert kit.ledger.account("test").rejected == 1


def test_a_clock_just_inside_the_tolerance_is_taken(kit):
    service = kit.start()
    assert take(service, kit.submission(kit.reading(3600 + 300))).stored == 1


def test_a_time_that_is_no_integer_is_refused(kit):
    service = kit.start()
    receipt = take(
        service, kit.submission(type(kit.reading())("urn:x:y", "WaterLevelObserved", "waterLevel", 1.0, 1.5))
    )
    assert receipt.problems[0].code == "time.unreadable"


def test_flaws_of_the_mapping_are_kept_with_the_raw_bytes_once(kit):
    service = kit.start()
    flaws = [Flaw("payload.malformed", {"line": n, "odd": {"nested": object()}}, f"/{n}") for n in range(50)]
    receipt = take(service, kit.submission(raw=b"x" * 100_000, flaws=flaws))
    service.settle(10)
    page = kit.rejects.list_rejected(RejectQuery(limit=100))
    assert (receipt.received, receipt.rejected, page.total) == (50, 50, 50)
    assert len(receipt.problems) == 20
    assert {len(reject.raw) for reject in page.items} == {65_536}
    assert page.items[-1].params["line"] == 0


def test_a_surrogate_in_a_flaw_does_no_harm(kit):
    service = kit.start()
    receipt = take(service, kit.submission(flaws=[Flaw("payload.malformed", {"text": "\ud800\0"}, "\ud800")]))
    service.settle(10)
    assert receipt.rejected == 1
    assert kit.rejects.list_rejected(RejectQuery()).items[0].params["text"] == "?\ufffd"


def test_a_repeated_reading_is_a_duplicate_and_another_value_a_correction(kit):
    collector = kit.Collector()
    service = kit.start(collector)
    take(service, kit.submission(kit.reading(1, 1.0), kit.reading(2, 2.0)))
    receipt = take(service, kit.submission(kit.reading(1, 1.0), kit.reading(2, 2.0), kit.reading(1, 1.1)))
    service.settle(10)
    assert (receipt.stored, [flaw.code for flaw in receipt.problems]) == (1, ["reading.duplicate"] * 2)
    assert collector.readings()[-1] == kit.reading(1, 1.1, flags=("corrected",))


def test_parallel_datasets_are_no_duplicates(kit):
    service = kit.start()
    receipt = take(service, kit.submission(kit.reading(1), kit.reading(1, dataset_id="urn:x:second")))
    assert receipt.stored == 2


def test_duplicates_are_recognised_after_a_restart(kit):
    service = kit.start()
    take(service, kit.submission(kit.reading(1), kit.reading(2)))
    service.stop()
    again = kit.start()
    receipt = take(again, kit.submission(kit.reading(1), kit.reading(2), kit.reading(3)))
    assert (receipt.stored, receipt.rejected) == (1, 2)


def test_an_origin_that_repeats_itself_is_answered_with_zeros(kit):
    collector = kit.Collector()
    service = kit.start(collector)
    take(service, kit.submission(kit.reading(1), origin="file", position=10))
    repeat = take(service, kit.submission(kit.reading(1), origin="file", position=10))
    onward = take(service, kit.submission(kit.reading(2), origin="file", position=20))
    service.settle(10)
    assert (repeat.repeated, repeat.received, onward.stored) == (True, 0, 1)
    assert service.position_of("file") == 20
    assert service.position_of("other") == 0
    assert kit.ledger.origin("file").position == 20
    assert kit.ledger.origin("file").account.stored == 2
    assert kit.ledger.origin("other") is None
    service.stop()
    again = kit.start()
    assert again.position_of("file") == 20
    assert take(again, kit.submission(kit.reading(9), origin="file", position=15)).repeated


def test_two_repeats_that_wait_together_are_taken_once(kit):
    service = kit.start()
    futures = [service.submit(kit.submission(kit.reading(1), origin="f", position=1)) for _ in range(20)]
    assert sum(future.result(10).stored for future in futures) == 1


def test_an_empty_part_of_a_file_still_moves_the_position(kit):
    service = kit.start()
    receipt = take(service, kit.submission(origin="f", position=7))
    assert (receipt.received, service.position_of("f")) == (0, 7)
    assert take(service, kit.submission()).received == 0


def test_drops_are_counted_with_their_reason_and_survive(kit):
    service = kit.start()
    take(service, kit.submission(kit.reading(1)))
    service.drop("test", 5, "queue.full")
    service.drop("radio", 2, "queue.full")
    service.tick(kit.now_us)
    service.settle(10)
    account = kit.ledger.account("test")
    assert (account.received, account.stored, account.dropped) == (6, 1, 5)
    service.stop()
    kit.start()
    assert kit.ledger.drops() == {"radio": {"queue.full": 2}, "test": {"queue.full": 5}}
    assert kit.ledger.total().received == 8
    assert all(balanced(account) for account in kit.ledger.accounts())


def test_the_ledger_is_rebuilt_from_the_log_alone(kit):
    service = kit.start()
    take(service, kit.submission(kit.reading(1), kit.reading(2, 99.0), flaws=[Flaw("payload.malformed")]))
    service.drop("test", 3, "queue.full")
    service.settle(10)
    before = kit.ledger.accounts()
    kit.start()  # no stop: no checkpoint was made
    assert kit.ledger.accounts() == before
    assert before[0].received == 6
    assert kit.rejects.list_rejected(RejectQuery()).total == 2


def test_a_consumer_gets_exactly_what_it_lacks_after_a_restart(kit):
    service = kit.start()
    for second in range(5):
        take(service, kit.submission(kit.reading(second)))
    service.stop()
    late = kit.Collector("late", position=3)
    kit.start(late)
    assert [batch.sequence for batch in late.batches] == [4, 5]


def test_a_broken_consumer_is_shown_and_hurts_nobody(kit, caplog):
    broken, fine = kit.Broken("broken"), kit.Collector("fine")
    service = kit.start(broken, fine)
    take(service, kit.submission(kit.reading(1)))
    take(service, kit.submission(kit.reading(2)))
    service.settle(10)
    status = {consumer["name"]: consumer for consumer in service.status()["consumers"]}
    assert (status["broken"]["healthy"], status["broken"]["problem"]) == (False, "collector.broken")
    assert status["fine"]["applied"] == 2
    assert len(fine.readings()) == 2
    assert "broken" in caplog.text


def test_the_log_keeps_what_a_broken_consumer_has_not_seen(kit, caplog):
    service = kit.start(kit.Broken("broken"))
    take(service, kit.submission(kit.reading(1)))
    service.stop()
    assert kit.log.first_sequence() == 1
    assert caplog.records


def test_the_log_forgets_what_everyone_has(kit):
    kit.log = MemoryLog(keep_records=0)
    service = kit.start(kit.Collector())
    take(service, kit.submission(kit.reading(1)))
    take(service, kit.submission(kit.reading(2)))
    service.stop()
    assert kit.log.first_sequence() == 2


def test_a_checkpoint_comes_with_the_tick(kit):
    collector = kit.Collector()
    service = kit.start(collector)
    take(service, kit.submission(kit.reading(1)))
    service.settle(10)
    service.tick(kit.now_us)
    take(service, kit.submission(kit.reading(2)))
    service.settle(10)  # the applier works in order, so the checkpoint before this batch is made
    assert collector.durable >= 1


def test_a_log_that_lags_behind_its_consumers_is_refused(kit):
    with pytest.raises(Fault) as refused:
        kit.start(kit.Collector("wise", position=7))
    assert (refused.value.code, refused.value.params["consumer"]) == ("log.behind", "wise")


def test_too_much_waiting_is_refused_at_once_and_later_taken(kit):
    blocked = kit.Blocked()
    kit.settings = IntakeSettings(max_waiting=10)
    service = kit.start(blocked)
    first = service.submit(kit.submission(*[kit.reading(n) for n in range(8)]))
    with pytest.raises(Unavailable) as refused:
        service.submit(kit.submission(kit.reading(8), kit.reading(9), kit.reading(10)))
    assert (refused.value.code, refused.value.retry) == ("intake.full", "later")
    blocked.gate.set()
    first.result(10)
    service.settle(10)
    assert take(service, kit.submission(kit.reading(8), kit.reading(9), kit.reading(10))).stored == 3


def test_a_submission_larger_than_the_bound_passes_when_nothing_waits(kit):
    kit.settings = IntakeSettings(max_waiting=2)
    service = kit.start()
    assert take(service, kit.submission(*[kit.reading(n) for n in range(5)])).stored == 5


def test_an_oversized_submission_is_refused(kit):
    kit.settings = IntakeSettings(max_submission=3)
    service = kit.start()
    with pytest.raises(Invalid) as refused:
        service.submit(kit.submission(*[kit.reading(n) for n in range(4)]))
    assert refused.value.code == "intake.too_large"


def test_after_stop_nothing_is_taken(kit):
    service = kit.start()
    service.stop()
    with pytest.raises(Unavailable) as refused:
        service.submit(kit.submission(kit.reading(1)))
    assert refused.value.code == "intake.stopped"
    assert service.status()["state"] == "stopped"


def test_a_full_disk_refuses_and_recovers_by_itself(kit):
    free = [10_000_000_000]
    service = kit.start(directory=kit.path, free_bytes=lambda path: free[0])
    assert take(service, kit.submission(kit.reading(1))).stored == 1
    free[0] = 1_000_000
    with pytest.raises(Unavailable) as refused:
        service.submit(kit.submission(kit.reading(2)))
    assert refused.value.code == "intake.disk_full"
    assert (service.status()["state"], service.status()["disk_full"]) == ("disk_full", True)
    free[0] = 10_000_000_000
    assert take(service, kit.submission(kit.reading(2))).stored == 1
    assert service.status()["state"] == "running"


class Fickle:
    """A log whose next appends fail."""

    def __init__(self, log, errors):
        self._log, self._errors = log, errors

    def append(self, records):
        for error in [self._errors.pop(0)] if self._errors else []:
            raise error
        return self._log.append(records)

    def __getattr__(self, name):
        return getattr(self._log, name)


def test_a_refused_write_leaves_no_trace(kit):
    kit.log = Fickle(kit.log, [Unavailable("intake.disk_full")])
    collector = kit.Collector()
    service = kit.start(collector)
    wanted = kit.submission(kit.reading(1), kit.reading(2), origin="f", position=4)
    with pytest.raises(Unavailable):
        take(service, wanted)
    assert service.position_of("f") == 0
    receipt = take(service, wanted)
    service.settle(10)
    assert (receipt.stored, receipt.rejected, receipt.repeated) == (2, 0, False)
    assert len(collector.readings()) == 2


def test_drops_outlive_a_refused_write(kit):
    kit.log = Fickle(kit.log, [Unavailable("intake.disk_full")])
    service = kit.start()
    service.drop("test", 4, "queue.full")
    service.settle(10)
    assert kit.ledger.account("test").dropped == 0
    service.settle(10)
    assert kit.ledger.account("test").dropped == 4


def test_a_log_that_breaks_closes_the_door(kit, caplog):
    kit.log = Fickle(kit.log, [Fault("log.write_failed", file="x", problem="input/output error")])
    service = kit.start()
    with pytest.raises(Unavailable) as first:
        take(service, kit.submission(kit.reading(1)))
    with pytest.raises(Unavailable) as second:
        service.submit(kit.submission(kit.reading(1)))
    assert first.value.code == second.value.code == "intake.failed"
    assert service.status()["state"] == "failed"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_the_commit_thread_leaves_no_sender_waiting(kit):
    kit.log = Fickle(kit.log, [RuntimeError("defect")])
    service = kit.start()
    with pytest.raises(Unavailable) as refused:
        take(service, kit.submission(kit.reading(1)))
    assert refused.value.code == "intake.failed"
    service.settle(10)


async def test_a_sender_in_a_loop_may_give_up_waiting(kit):
    service = kit.start()
    waiting = asyncio.wrap_future(service.submit(kit.submission(kit.reading(1))))
    waiting.cancel()
    receipt = await asyncio.wrap_future(service.submit(kit.submission(kit.reading(2))))
    assert receipt.stored == 1


class Gate:
    def __init__(self, refusals):
        self.refusals, self.signs = refusals, []

    def refusal(self, device_id, entity_id, property_name):
        return self.refusals.get(device_id)

    def seen(self, device_id, at_us):
        self.signs.append((device_id, at_us))


def test_a_device_may_report_only_what_it_is_bound_to(kit):
    kit.devices = Gate({"stranger": "device.unknown"})
    collector = kit.Collector()
    service = kit.start(collector)
    refused = take(service, kit.submission(kit.reading(1), device_id="stranger"))
    taken = take(service, kit.submission(kit.reading(1), device_id="friend"))
    service.settle(10)
    assert [flaw.code for flaw in refused.problems] == ["device.unknown"]
    assert taken.stored == 1
    assert collector.readings()[0].device_id == "friend"
    assert kit.devices.signs == [("stranger", kit.now_us), ("friend", kit.now_us)]


def test_replayed_rejects_are_marked(kit):
    service = kit.start()
    take(service, kit.submission(flaws=[Flaw("payload.malformed")]))
    service.settle(10)
    [reject] = kit.rejects.list_rejected(RejectQuery(replayed=False)).items
    take(service, kit.submission(kit.reading(1), replay_of=(reject.id,)))
    service.settle(10)
    assert kit.rejects.get_rejected(reject.id).replayed
    assert kit.rejects.list_rejected(RejectQuery(replayed=False)).total == 0
    assert kit.rejects.list_rejected(RejectQuery(replayed=True)).total == 1


def test_the_order_of_one_sender_is_kept(kit):
    collector = kit.Collector()
    service = kit.start(collector)
    futures = [service.submit(kit.submission(kit.reading(second))) for second in range(300)]
    sequences = [future.result(10).sequence for future in futures]
    service.settle(10)
    assert sequences == sorted(sequences)
    assert collector.readings() == [kit.reading(second) for second in range(300)]


def test_several_payloads_keep_their_own_addresses(kit):
    service = kit.start()
    payloads = tuple(Payload(f"row {n}".encode(), f"file.csv:{n}", (kit.reading(n, 99.0),)) for n in range(3))
    take(service, Submission(source="load:x", adapter="load/1", payloads=payloads))
    service.settle(10)
    items = kit.rejects.list_rejected(RejectQuery()).items
    assert [(item.address, item.raw) for item in items] == [
        ("file.csv:2", b"row 2"),
        ("file.csv:1", b"row 1"),
        ("file.csv:0", b"row 0"),
    ]


def test_a_large_commit_is_split(kit):
    kit.settings = IntakeSettings(commit_mb=0.0001)
    collector = kit.Collector()
    service = kit.start(collector)
    service.drop("test", 1, "queue.full")
    futures = [service.submit(kit.submission(kit.reading(second))) for second in range(50)]
    assert sum(future.result(10).stored for future in futures) == 50
    service.settle(10)
    assert kit.ledger.account("test").received == 51


def test_a_defect_in_a_check_frees_its_place_again(kit):
    service = kit.start()
    nonsense = Submission(source="test", adapter="test/1", payloads=(Payload(b"", "t", (None,)),))
    with pytest.raises(AttributeError):
        service.submit(nonsense)
    assert service.status()["waiting_readings"] == 0
    assert take(service, kit.submission(kit.reading(1))).stored == 1
