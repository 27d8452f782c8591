"""What becomes of deliveries, seen in the tables."""

import gzip
import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from app.accounts.model import Mode, Secret
from app.ids import IdSource, first_id_at, time_of
from app.processing.arrays import UUIDS, array
from app.processing.batch import STORED
from app.processing.faults import MOST_ATTEMPTS
from app.processing.reading import read_delivery
from tests.processing.conftest import ZONE, Desk

Item = Callable[..., dict[str, Any]]
_RECORDS = ("inquiries", "customers", "documents")
_OTHER_WAYS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")


def test_twenty_equal_items_are_one_change_and_nineteen_repeats(desk: Desk, item: Item) -> None:
    deliveries = [desk.lay(item()) for _ in range(20)]
    desk.process()
    events = desk.rows("SELECT id, delivery_id, duplicate_of, changes FROM events ORDER BY delivery_id")
    first = events[0][0]
    assert [event[1] for event in events] == deliveries
    assert events[0][2] is None
    assert {change["field"] for change in events[0][3]} >= {"inquiry_id", "status", "broker_external_id"}
    assert [(event[2], event[3]) for event in events[1:]] == [(first, [])] * 19
    assert desk.row("SELECT status, event_count FROM inquiries") == (4, 20)


def test_what_is_told_again_later_only_counts(desk: Desk, item: Item) -> None:
    body = item() | {
        "customer": {"cId": 5, "cLastName": "Beispiel"},
        "docs": {"docToken": {"token": "t"}, "files": [{"hash": "h1", "name": "Antrag"}]},
    }
    told = []
    for minutes in (2, 1):
        desk.lay(body, delivery_id=first_id_at(datetime.now(UTC) - timedelta(minutes=minutes)))
        desk.process()
        told.append({name: desk.row(f"SELECT to_jsonb(r) FROM {name} r")[0] for name in _RECORDS})  # noqa: S608 - ours
    for name in _RECORDS:
        before, after = (one[name] for one in told)
        assert {column for column in before if before[column] != after[column]} == {
            *("head_key", "head_receipt", "last_received_at", "event_count")
        }
        assert (before["event_count"], after["event_count"]) == (1, 2)


def test_a_return_to_an_earlier_state_is_a_change(desk: Desk, item: Item) -> None:
    for status in (4, 6, 4):
        desk.lay(item(status=status))
    desk.process()
    assert desk.row("SELECT status FROM inquiries") == (4,)
    changes = desk.rows("SELECT changes FROM events ORDER BY seq")
    assert changes[1][0] == [{"field": "status", "old": 4, "new": 6}]
    assert changes[2][0] == [{"field": "status", "old": 6, "new": 4}]
    assert desk.rows("SELECT 1 FROM events WHERE duplicate_of IS NOT NULL") == []


def test_older_news_fills_gaps_but_overwrites_nothing(desk: Desk, item: Item) -> None:
    desk.lay(item(iUpdated="2026-01-05", status=6))
    desk.process()
    desk.lay(item(iUpdated="2026-01-03", status=3, productName="Haftpflicht"))
    desk.process()
    assert desk.row("SELECT status, product_name, updated_on::text FROM inquiries") == (6, "Haftpflicht", "2026-01-05")
    assert desk.rows("SELECT stale FROM events ORDER BY seq") == [(False,), (True,)]


def test_records_tell_when_they_were_changed_by_receipt(desk: Desk, item: Item) -> None:
    first, last = (first_id_at(datetime.now(UTC) - timedelta(minutes=minutes)) for minutes in (2, 1))
    desk.lay(item(iUpdated="2026-01-05", status=6, customer={"cId": 5, "cLastName": "Alt"}), delivery_id=first)
    desk.process()
    older = item(iUpdated="2026-01-03", productName="Haftpflicht", customer={"cId": 5, "cLastName": "Neu"})
    desk.lay(older, delivery_id=last)
    desk.process()
    times = "first_received_at, last_received_at, changed_at"
    expected = (time_of(first), time_of(last), time_of(last))
    assert desk.row(f"SELECT {times}, status FROM inquiries") == (*expected, 6)  # noqa: S608 - ours
    # The day of an inquiry says nothing of its customer.
    assert desk.row(f"SELECT {times}, last_name FROM customers") == (*expected, "Neu")  # noqa: S608


def test_marks_above_a_late_event_are_judged_again(desk: Desk, item: Item) -> None:
    early, late = desk.ids.next(), desk.ids.next()
    desk.lay(item(), delivery_id=late)
    desk.process()
    desk.lay(item(), delivery_id=early)
    desk.process()
    marks = dict(desk.rows("SELECT delivery_id, duplicate_of IS NOT NULL FROM events"))
    assert marks == {early: False, late: True}


def test_a_date_in_the_future_does_not_freeze_the_record(desk: Desk, item: Item) -> None:
    today = f"{datetime.now(ZONE):%Y-%m-%d}"
    desk.lay(item(iUpdated="2099-12-31", status=4))
    desk.lay(item(iUpdated=today, status=6))
    desk.process()
    assert desk.row("SELECT status FROM inquiries") == (6,)
    (warnings,) = desk.row("SELECT warnings FROM events ORDER BY seq LIMIT 1")
    assert "date-in-future" in {warning["reason"] for warning in warnings}


def test_a_thin_item_blanks_out_nothing(desk: Desk, item: Item) -> None:
    desk.lay(item(productName="Haftpflicht", premiumYearly=48790, customer={"cId": 5, "cLastName": "Beispiel"}))
    desk.lay(
        item(productName="", premiumYearly=None, customer={"cId": 5, "cLastName": ""}, contractStartDate="0000-00-00")
    )
    desk.process()
    assert desk.row("SELECT product_name, premium_yearly_cents, contract_start_on FROM inquiries") == (
        "Haftpflicht",
        48790,
        None,
    )
    assert desk.row("SELECT last_name FROM customers") == ("Beispiel",)
    assert desk.row("SELECT count(*) FROM events WHERE duplicate_of IS NOT NULL") == (1,)


def test_an_unlimited_coverage_takes_the_place_of_an_amount(desk: Desk, item: Item) -> None:
    for coverage in (1_000_000, "unbegrenzt", 2_000_000):
        desk.lay(item(coverage=coverage))
        desk.process()
    assert desk.row("SELECT coverage_cents, coverage_text FROM inquiries") == (200_000_000, None)
    assert [changes for (changes,) in desk.rows("SELECT changes FROM events ORDER BY seq")][1:] == [
        [
            {"field": "coverage_cents", "old": 100_000_000, "new": None},
            {"field": "coverage_text", "old": None, "new": "unbegrenzt"},
        ],
        [
            {"field": "coverage_cents", "old": None, "new": 200_000_000},
            {"field": "coverage_text", "old": "unbegrenzt", "new": None},
        ],
    ]


def test_processing_again_makes_nothing_new(desk: Desk, item: Item) -> None:
    deliveries = [desk.lay(item(status=status, customer={"cLastName": "Muster"})) for status in (2, 4, 6)]
    desk.process()
    tables = ("events", "outcomes", "inquiries", "customers", "aliases", "brokers")
    before = {table: desk.rows(f"SELECT to_jsonb(t) - 'processed_at' FROM {table} t") for table in tables}  # noqa: S608
    for delivery in deliveries:
        desk.ask_again(delivery)
    desk.process()
    assert {table: desk.rows(f"SELECT to_jsonb(t) - 'processed_at' FROM {table} t") for table in tables} == before  # noqa: S608


def test_the_feed_numbers_events_before_their_delivery_in_order(desk: Desk, item: Item) -> None:
    first = desk.lay({"7": item(7), "8": item(8)})
    second = desk.lay(item(9))
    desk.process()
    feed = desk.rows(
        "SELECT seq, 'event', delivery_id FROM events"
        " UNION ALL SELECT seq, 'delivery', delivery_id FROM outcomes ORDER BY 1"
    )
    assert [(kind, delivery) for _, kind, delivery in feed] == [
        ("event", first),
        ("event", first),
        ("delivery", first),
        ("event", second),
        ("delivery", second),
    ]
    assert len({seq for seq, _, _ in feed}) == 5


def test_one_bad_item_holds_up_no_other(desk: Desk, item: Item) -> None:
    bad = item()
    bad["data"]["iId"] = "none"
    delivery = desk.lay([item(8), bad])
    desk.process()
    status, reason, items = desk.row("SELECT status, reason, items FROM outcomes WHERE delivery_id = %s", delivery)
    assert (status, reason) == ("partial", "unusable-id")
    assert [(one["status"], one["reason"]) for one in items] == [("event", None), ("quarantined", "unusable-id")]
    assert desk.rows("SELECT inquiry_id FROM inquiries") == [(8,)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "not-json"),
        (b"{}", "nothing-in-it"),
        (b'{"hello": "world"}', "unknown-shape"),
        (b'{"error": "API user unknown"}', "platform-error"),
    ],
)
def test_what_is_not_understood_is_quarantined_with_its_reason(desk: Desk, body: bytes, reason: str) -> None:
    desk.lay(body)
    desk.process()
    assert desk.row("SELECT status, reason, items FROM outcomes") == ("quarantined", reason, [])


def test_a_delivery_that_cannot_be_processed_is_quarantined_and_holds_up_no_other(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, good = desk.lay(item(8)), desk.lay(item(9))

    def fail(delivery: Any, *arguments: Any, **named: Any) -> Any:
        if delivery.id == poison:
            raise RuntimeError("this delivery ends its processor")
        return read_delivery(delivery, *arguments, **named)

    monkeypatch.setattr("app.processing.batch.read_delivery", fail)
    desk.process()
    assert desk.row("SELECT status, reason FROM outcomes WHERE delivery_id = %s", poison) == (
        "quarantined",
        "processing-failed",
    )
    assert desk.row("SELECT status FROM outcomes WHERE delivery_id = %s", good) == ("accepted",)
    monkeypatch.undo()
    desk.ask_again(poison)
    desk.process()
    assert desk.row("SELECT status, reason FROM outcomes WHERE delivery_id = %s", poison) == ("accepted", None)


def test_what_fails_when_it_is_processed_again_keeps_what_it_gave(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = desk.lay([item(8), item(9)])
    desk.process()
    outcome = "SELECT seq, items, status, reason FROM outcomes"
    seq, items, *_ = desk.row(outcome)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr("app.processing.batch.read_delivery", fail)
    desk.ask_again(delivery)
    desk.process()
    assert desk.row(outcome) == (seq, items, "partial", "processing-failed")
    assert desk.row("SELECT count(*) FROM events") == (2,)
    monkeypatch.undo()
    desk.ask_again(delivery)
    desk.process()
    assert desk.row(outcome) == (seq, items, "accepted", None)


def test_what_is_gone_from_the_deliveries_leaves_the_inbox(desk: Desk, item: Item) -> None:
    dropped = desk.ids.next()
    desk.ask_again(dropped)
    good = desk.lay(item())
    desk.process()
    assert desk.rows("SELECT delivery_id, status FROM outcomes") == [(good, "accepted")]


def test_who_ends_leaves_what_was_begun_ahead_as_if_untouched(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.processing.processor.BATCH_DELIVERIES", 2)
    laid = [desk.lay(item(number)) for number in (1, 2, 3)]
    assert desk.processor.step() == 2
    assert desk.rows("SELECT delivery_id, attempts FROM inbox") == [(laid[2], 1)], "begun ahead"
    desk.processor.finish()
    assert desk.rows("SELECT delivery_id, attempts FROM inbox") == [(laid[2], 0)]


def test_a_delivery_that_ended_three_processors_is_not_tried_a_fourth_time(desk: Desk, item: Item) -> None:
    poison = desk.lay(item(8))
    good = desk.lay(item(9))
    desk.database.execute("UPDATE inbox SET attempts = %s WHERE delivery_id = %s", (MOST_ATTEMPTS, poison))
    desk.process()
    assert desk.row("SELECT reason FROM outcomes WHERE delivery_id = %s", poison) == ("processing-failed",)
    assert desk.row("SELECT status FROM outcomes WHERE delivery_id = %s", good) == ("accepted",)


def test_a_notification_is_an_event_and_its_repeat_is_marked(desk: Desk, item: Item) -> None:
    notification = {
        "eventType": "InquiryOrdered",
        "eventTime": "2026-03-09T10:01:02.345Z",
        "eventId": "",
        "notificationId": "5b0c1a9e-2f47-11f0-8d1b-0242ac120002",
        "accountReference": "musterpool",
        "brokerReference": "42",
        "affected": [{"referenceType": "inquiry", "referenceId": "7"}],
    }
    desk.lay(notification)
    desk.lay(notification)
    desk.lay(notification | {"notificationId": "6b0c1a9e-2f47-11f0-8d1b-0242ac120002"})
    desk.process()
    events = desk.rows("SELECT id, duplicate_of, subject, record_id FROM events ORDER BY seq")
    assert [event[1] for event in events] == [None, events[0][0], None]
    assert {event[2:] for event in events} == {("inquiry/7", None)}
    desk.lay(item(7))
    desk.process()
    (inquiry,) = desk.row("SELECT id FROM inquiries")
    assert desk.rows("SELECT DISTINCT record_id FROM events") == [(inquiry,)]
    desk.lay(notification | {"notificationId": "7b0c1a9e-2f47-11f0-8d1b-0242ac120002"})
    desk.process()
    assert desk.rows("SELECT DISTINCT record_id FROM events") == [(inquiry,)]
    assert desk.row("SELECT event_count FROM inquiries") == (1,)


@pytest.mark.parametrize("steps", [[[0, 1, 2]], [[2], [0, 1]], [[1], [2], [0]], [[2, 1], [0]]])
def test_of_equal_notifications_the_first_received_is_none_s_repeat(desk: Desk, steps: list[list[int]]) -> None:
    thin = {"eventType": "InquiryOrdered", "affected": [{"referenceType": "inquiry", "referenceId": "7"}]}
    ids = [first_id_at(datetime.now(UTC) - timedelta(seconds=ago)) for ago in (3, 2, 1)]
    for step in steps:
        for position in step:
            desk.lay(thin, delivery_id=ids[position])
        desk.process()
    (first, none), *others = desk.rows("SELECT id, duplicate_of FROM events ORDER BY delivery_id")
    assert none is None
    assert [of for _, of in others] == [first, first]


def test_the_verdict_of_a_delivery_is_its_worst_items(desk: Desk, item: Item) -> None:
    source = desk.add_source("thinksurance", Mode.OBSERVE, (Secret("s", datetime.now(UTC) - timedelta(days=1)),))
    right = item(8) | {"sHash": hashlib.md5(b"0123456789abcdef8s", usedforsecurity=False).hexdigest()}
    desk.lay([right, item(9), right], source)
    desk.lay(b"{", source, judged=b"\x00\x04\x03")  # of which today's reader finds no item
    desk.process()
    verdicts = "SELECT verdict, (SELECT array_agg(i ->> 'verdict') FROM jsonb_array_elements(items) i) FROM outcomes"
    read, unread = desk.rows(f"{verdicts} ORDER BY seq")
    assert read == ("invalid", ["verified", "invalid", "verified"])
    assert unread == ("invalid", None)


def test_the_first_to_name_a_broker_is_warned_of(desk: Desk, item: Item) -> None:
    for broker in ("42", "42", "43"):
        desk.lay([item(7, bExternalId=broker), item(8, bExternalId=broker)])
    desk.process()
    warned = desk.rows('SELECT warnings @> \'[{"reason": "new-broker"}]\' FROM events ORDER BY delivery_id, item_index')
    assert [is_warned for (is_warned,) in warned] == [True, False, False, False, True, False]


def test_a_new_broker_is_no_warning_about_a_field_that_does_not_name_it(desk: Desk, item: Item) -> None:
    affected = [{"referenceType": "inquiry", "referenceId": "7"}]
    desk.lay(item(bExternalId=None, bToken="new"))
    desk.lay({"eventType": "InquiryOrdered", "brokerReference": "43", "affected": affected})
    desk.process()
    warned = desk.rows(
        "SELECT w ->> 'field' FROM events, jsonb_array_elements(warnings) w WHERE w ->> 'reason' = 'new-broker'"
    )
    assert warned == [("",), ("",)]


def test_a_broker_token_of_our_own_is_not_new(desk: Desk, item: Item) -> None:
    known = replace(desk.sources[desk.thinksurance], credentials={"b_token": ("0123456789abcdef",)})
    desk.sources[desk.thinksurance] = known
    for token in ("0123456789abcdef", "another"):
        desk.lay(item(bExternalId=None, bToken=token))
    desk.process()
    warned = desk.rows('SELECT warnings @> \'[{"reason": "new-broker"}]\' FROM events ORDER BY seq')
    assert warned == [(False,), (True,)]


def test_what_stands_in_an_index_may_be_of_any_length(desk: Desk, item: Item) -> None:
    dice = random.Random(1)  # noqa: S311 - what PostgreSQL cannot compress
    long = "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(1000))
    docs = {"files": [{"hash": long, "name": long, "fullName": long}]}
    desk.lay(item(7, productName=long, customer={"cExternalId": long, "cLastName": long}) | {"docs": docs})
    desk.lay({"id": long, "event": long, "first_name": long, "prospect": {"id": long + "2"}}, desk.wegroup)
    desk.process()
    assert desk.rows("SELECT reason FROM outcomes") == [(None,)] * 2
    assert desk.row("SELECT product_name FROM inquiries") == (long,)


def test_a_broker_is_kept_however_long_its_name_is(desk: Desk, item: Item) -> None:
    dice = random.Random(1)  # noqa: S311 - what PostgreSQL cannot compress
    long = "".join(chr(dice.randrange(0x4E00, 0x9FFF)) for _ in range(1000))
    bodies = [item(7, bExternalId=long), item(8, bExternalId=long)]
    bodies[1]["data"]["iId"] = "none"
    affected = [{"referenceType": "inquiry", "referenceId": "7"}]
    for body in (*bodies, {"eventType": "InquiryOrdered", "brokerReference": long, "affected": affected}):
        desk.lay(body)
    desk.process()
    assert desk.rows("SELECT reason FROM outcomes ORDER BY seq") == [(None,), ("unusable-id",), (None,)]
    (known,) = desk.row("SELECT broker_external_id FROM inquiries")
    assert known.startswith(long[:60])
    assert desk.rows("SELECT broker FROM events") == [(known,)] * 2
    assert desk.rows("SELECT brokers FROM outcomes") == [([known],)] * 3


def test_what_was_accepted_at_receipt_stays_accepted_when_its_secret_is_revoked(desk: Desk, item: Item) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    revoked = Secret("old-secret", long_ago, long_ago + timedelta(days=1))
    source = desk.add_source("thinksurance", Mode.ENFORCE, (revoked, Secret("new-secret", long_ago)))
    verified = desk.lay(item(1), source, judged=b"\x00")
    invalid = desk.lay(item(2), source, judged=b"\x84")
    desk.process()
    assert desk.row("SELECT status, verdict FROM outcomes WHERE delivery_id = %s", verified) == ("accepted", "verified")
    status, reason = desk.row("SELECT status, reason FROM outcomes WHERE delivery_id = %s", invalid)
    assert (status, reason) == ("quarantined", "signature-unproven")


def test_what_was_released_stays_accepted_when_its_secret_is_revoked(desk: Desk, item: Item) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    source_id = desk.add_source("thinksurance", Mode.ENFORCE, (Secret("s", long_ago),))
    right = item(8) | {"sHash": hashlib.md5(b"0123456789abcdef8s", usedforsecurity=False).hexdigest()}
    delivery = desk.lay(right, source_id, judged=b"\x84")  # as if the secret had been set after the receipt
    desk.process()
    accepted = ("accepted", "verified")
    assert desk.row("SELECT status, verdict FROM outcomes") == accepted
    desk.sources[source_id] = replace(desk.sources[source_id], secrets=(Secret("another", long_ago),))
    right["data"]["productName"] = "Haftpflicht"  # as if it had been misread
    desk.database.execute("UPDATE deliveries SET body = %s", (orjson.dumps(right),))
    desk.ask_again(delivery, source_id)
    desk.process()
    assert desk.row("SELECT status, verdict FROM outcomes") == accepted
    assert desk.row("SELECT product_name FROM inquiries") == ("Haftpflicht",)


def test_verdicts_of_other_items_than_are_found_now_count_for_none(desk: Desk, item: Item) -> None:
    for judged in (b"\x00", b"\x00\x00\x00"):
        desk.lay([item(8), item(9)], judged=judged)
    desk.process()
    assert desk.rows("SELECT status, verdict FROM outcomes") == [("accepted", "invalid")] * 2


@pytest.mark.parametrize(("other", "brokers"), [("43", ["42", "43"]), ("42", ["42"]), (None, [])])
def test_a_delivery_is_of_the_brokers_that_all_its_items_name(
    desk: Desk, item: Item, other: str | None, brokers: list[str]
) -> None:
    desk.lay([item(7), item(8, bExternalId=other)])
    desk.process()
    assert desk.row("SELECT brokers FROM outcomes") == (brokers,)


def test_documents_are_merged_by_hash_and_their_secrets_encrypted(desk: Desk, item: Item) -> None:
    def with_files(*hashes: str, expired: str) -> dict[str, Any]:
        files = [
            {
                "name": h,
                "fullName": f"{h}.pdf",
                "hash": h,
                "fullFilePath": f"https://files.test/{h}",
                "documentPurpose": "p",
            }
            for h in hashes
        ]
        return item() | {"docs": {"docToken": {"token": "opener", "expired": expired}, "files": files}}

    desk.lay(with_files("a", expired="2026-02-01 12:00:00"))
    desk.lay(with_files("b", expired="2026-03-01 12:00:00"))
    desk.process()
    documents = desk.rows(
        "SELECT hash, full_name, token_expires_at, link_encrypted, token_encrypted FROM documents ORDER BY 1"
    )
    assert [(d[0], d[1], d[2].isoformat()) for d in documents] == [
        ("a", "a.pdf", "2026-02-01T11:00:00+00:00"),
        ("b", "b.pdf", "2026-03-01T11:00:00+00:00"),
    ]
    assert desk.vault.decrypt(documents[0][3], "document") == "https://files.test/a"
    assert desk.vault.decrypt(documents[1][4], "document") == "opener"
    (everything,) = desk.row(
        "SELECT string_agg(e::text, '') || (SELECT string_agg(d::text, '') FROM documents d) FROM events e"
    )
    assert "opener" not in everything
    assert "files.test" not in everything


def test_ids_carry_the_time_of_their_delivery(desk: Desk, item: Item) -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    delivery = desk.lay(item(), delivery_id=IdSource(first_id_at(moment)).next())
    desk.process()
    (event,) = desk.row("SELECT id FROM events")
    assert event.int >> 80 == delivery.int >> 80


def test_a_reading_that_changed_is_revised_in_place(desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = desk.lay(item(status=4, productName="Haftpflicht"))
    desk.lay(item(status=6))
    desk.process()
    before = desk.rows("SELECT id, seq, revised_at FROM events ORDER BY seq")

    def read_otherwise(*arguments: Any, **named: Any) -> Any:
        read = read_delivery(*arguments, **named)
        statement = read.items[0].statement
        assert statement is not None
        fields = statement.parts[0].fields
        assert isinstance(fields, dict)
        fields.pop("product_name", None)
        return read

    monkeypatch.setattr("app.processing.batch.read_delivery", read_otherwise)
    desk.ask_again(delivery)
    desk.process()
    after = desk.rows("SELECT id, seq, revised_at FROM events ORDER BY seq")
    assert [row[:2] for row in after] == [row[:2] for row in before]
    assert after[0][2] is not None
    assert after[1][2] is None
    assert desk.row("SELECT status, product_name, event_count FROM inquiries") == (6, None, 2)


@pytest.mark.parametrize(
    ("column", "before"),
    [
        ("type", "thinksurance.inquiry.other"),
        ("subject", "inquiry/9"),
        ("order_key", "0"),
        ("broker", "43"),
        ("occurred_at", "2026-01-02T10:00:00Z"),
        ("occurred_on", "2026-01-01"),
        ("verdict", "unsigned"),
        ("warnings", "[{}]"),
        ("parts", "[]"),
        ("data", "{}"),
    ],
)
def test_whatever_of_an_event_is_read_otherwise_is_revised(desk: Desk, item: Item, column: str, before: str) -> None:
    delivery = desk.lay(item(iUpdated="2026-01-02 10:00:00"))
    desk.process()
    said = f"SELECT id, seq, {column}, (SELECT event_count FROM inquiries) FROM events"  # noqa: S608 - ours
    read = desk.row(said)
    desk.rows(f"UPDATE events SET {column} = %s RETURNING 1", before)  # noqa: S608 - as if an older reader had said so
    desk.ask_again(delivery)
    desk.process()
    assert desk.row(said) == read
    assert desk.row("SELECT revised_at IS NOT NULL FROM events") == (True,)


def test_a_record_of_which_nothing_is_said_any_more_is_gone(desk: Desk, item: Item) -> None:
    thin = {"eventType": "InquiryOrdered", "affected": [{"referenceType": "inquiry", "referenceId": "7"}]}
    desk.lay(thin)
    first, *_ = (desk.lay(item(7, status=status, customer={"cId": 5, "cLastName": "Alt"})) for status in (4, 6))
    desk.process()
    before = dict(desk.rows("SELECT identity, id FROM inquiries UNION SELECT identity, id FROM customers"))
    records = (
        "SELECT inquiry_id, i.status, i.event_count, c.customer_id, c.event_count, c.last_name FROM inquiries i"
        " LEFT JOIN customers c ON c.id = i.customer_record_id ORDER BY 1"
    )
    assert desk.rows(records) == [(7, 6, 2, 5, 2, "Alt")]

    def read_otherwise(delivery_ids: str, body: Any) -> None:
        """Have deliveries say something else, as if today's reader understood them otherwise."""
        done = "UPDATE deliveries SET body = %s WHERE body <> %s AND id::text ~ %s RETURNING id"
        for (delivery_id,) in desk.rows(done, orjson.dumps(body), orjson.dumps(thin), delivery_ids):
            desk.ask_again(delivery_id)
        desk.process()

    read_otherwise(str(first), item(8, customer={"cId": 6}))
    assert desk.rows(records) == [(7, 6, 1, 5, 1, "Alt"), (8, 4, 1, 6, 1, None)]
    read_otherwise("", item(8))
    assert desk.rows(records) == [(8, 4, 2, None, None, None)]
    assert desk.rows("SELECT 1 FROM customers") == []
    assert desk.rows("SELECT reason FROM outcomes WHERE reason IS NOT NULL") == []
    notified = "SELECT record_kind, record_id FROM events WHERE subject = 'inquiry/7'"
    assert desk.row(notified) == (None, None)
    read_otherwise("", item(7, customer={"cId": 5, "cLastName": "Alt"}))
    assert desk.rows(records) == [(7, 4, 2, 5, 2, "Alt")]
    after = dict(desk.rows("SELECT identity, id FROM inquiries UNION SELECT identity, id FROM customers"))
    assert after == before
    assert desk.rows(f"{notified} AND type LIKE '%%notification%%'") == [("inquiry", after["7"])]


def test_it_is_behind_only_while_more_waits_than_a_step_took(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.processing.processor.BATCH_DELIVERIES", 2)
    for number in (1, 2, 3):
        desk.lay(item(number))
    assert (desk.processor.step(), desk.processor.is_behind) == (2, True)
    assert (desk.processor.step(), desk.processor.is_behind) == (1, False)
    tried = [desk.lay(item(number)) for number in (4, 5)]
    desk.database.execute("UPDATE inbox SET attempts = 1 WHERE delivery_id = ANY(%s)", (tried,))
    assert (desk.processor.step(), desk.processor.is_behind) == (1, True), "those tried before are taken singly"
    assert (desk.processor.step(), desk.processor.is_behind) == (1, False)


def test_a_file_of_which_less_is_said_loses_no_name(desk: Desk, item: Item) -> None:
    whole = {"hash": "h1", "name": "Antrag", "fullName": "Antrag.pdf"}
    for file in (whole, {"hash": "h1"}, {"hash": "h1", "name": "Police"}):
        desk.lay(item() | {"docs": {"files": [file]}})
        desk.process()
    told = {**dict.fromkeys(("hash", "name", "full_name", "purpose")), "hash": "h1", "full_name": "Antrag.pdf"}
    assert desk.row("SELECT documents FROM inquiries") == ({"h1": told | {"name": "Police"}},)
    first, thin, renamed = desk.rows("SELECT id, duplicate_of, changes FROM events ORDER BY id")
    assert (thin[1], thin[2]) == (first[0], [])
    assert renamed[2] == [{"field": "documents", "old": told | {"name": "Antrag"}, "new": told | {"name": "Police"}}]


def test_what_is_of_no_known_source_holds_up_nobody(desk: Desk, item: Item) -> None:
    unknown = [desk.lay(item(number), desk.ids.next()) for number in (1, 2)]
    desk.lay(item(3))
    assert desk.processor.step() == 3
    failed = desk.rows(
        "SELECT delivery_id, status, verdict FROM outcomes WHERE reason = 'processing-failed' ORDER BY 1"
    )
    assert failed == [(one, "quarantined", "unsigned") for one in unknown]
    assert desk.row("SELECT inquiry_id FROM inquiries") == (3,)
    ((source_id,),) = desk.rows("SELECT source_id FROM deliveries WHERE id = %s", unknown[0])
    desk.sources[source_id] = desk.sources[desk.thinksurance]
    desk.ask_again(unknown[0], source_id)
    desk.process()
    assert desk.row("SELECT status, reason FROM outcomes WHERE delivery_id = %s", unknown[0]) == ("accepted", None)


def test_a_batch_ends_where_more_was_read_than_is_held_at_once(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.processing.processor.MOST_READ_BYTES", 1 << 20)
    sent = gzip.compress(orjson.dumps(item() | {"filler": "a" * (1 << 20)}))
    assert len(sent) < 1 << 12
    large = [desk.lay(sent, encoding="gzip") for _ in range(3)]
    many = [desk.lay([{"id": str(number)} for number in range(200)], desk.wegroup) for _ in range(3)]
    last = desk.lay(item(8))
    assert desk.processor.step() == 1
    assert desk.processor.is_behind
    waiting = [*large[1:], *many, last]
    assert desk.rows("SELECT delivery_id, attempts FROM inbox ORDER BY 1") == [(one, 0) for one in waiting]
    done = [desk.processor.step() for _ in range(5)]
    assert done == [1, 1, 2, 2, 0]
    assert desk.rows("SELECT delivery_id FROM outcomes WHERE status = 'accepted' ORDER BY seq") == [
        (one,) for one in (*large, *many, last)
    ]


def test_a_batch_is_loaded_by_its_ids_however_many_deliveries_there_are(desk: Desk, item: Item) -> None:
    laid = desk.lay(item())
    desk.process()
    for table in ("deliveries", "outcomes"):
        own = f"(SELECT tableoid FROM {table})"  # noqa: S608 - ours
        desk.rows(f"UPDATE pg_class SET relpages = 1, reltuples = 5000000 WHERE oid = {own} RETURNING 1")  # noqa: S608
    desk.rows("SELECT set_config(name, 'off', false) FROM unnest(%s::text[]) AS name", list(_OTHER_WAYS))
    named = {"ids": array(UUIDS, [laid] * 500), "low": laid, "high": laid}
    plan = "\n".join(line for (line,) in desk.database.execute("EXPLAIN " + STORED, named))
    assert re.search(r"Index Cond: .*\(id = w\.id\)", plan), plan
    assert "Merge Append" not in plan, plan
    assert "_default" not in plan, plan
