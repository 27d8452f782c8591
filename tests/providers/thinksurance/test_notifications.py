"""Notifications of V2: event type, subject, repeats; they change no record."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Statement
from app.providers.snake_case import snake_case

if TYPE_CHECKING:
    from tests.providers.conftest import Bench


def read(bench: "Bench", **changes: Any) -> Statement:
    sent = json.loads(bench.sample("thinksurance", "notification-new.json")) | changes
    (statement,) = bench.read("thinksurance", json.dumps(sent).encode())
    return statement


def test_the_newer_form(bench: "Bench") -> None:
    statement = read(bench)
    assert statement.type == "thinksurance.notification.inquiry_ordered"
    assert statement.subject == "inquiry/2900418"
    assert statement.effective_at == bench.receipt.received_at
    assert statement.occurred_at == datetime(2025, 3, 9, 10, 1, 2, 345_000, tzinfo=UTC)
    assert statement.broker == "42"
    assert statement.parts == ()
    assert statement.warnings == ()
    assert statement.data == json.loads(bench.sample("thinksurance", "notification-new.json"))


def test_the_older_form(bench: "Bench") -> None:
    (statement,) = bench.read("thinksurance", bench.sample("thinksurance", "notification-old.json"))
    assert statement.type == "thinksurance.notification.tender_cancelled"
    assert statement.subject == "tender/T-111"
    assert statement.warnings == ()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("InquiryCreated", "inquiry_created"),
        ("InquiryUpdated", "inquiry_updated"),
        ("InquiryProposalCreated", "inquiry_proposal_created"),
        ("InquiryOrdered", "inquiry_ordered"),
        ("inquiry_created", "inquiry_created"),
        ("inquiry-created", "inquiry_created"),
        ("lead.updated", "lead_updated"),
        ("LEAD UPDATED", "lead_updated"),
        ("  _x_ ", "x"),
        ("ü", ""),
        ("A" * 1000, "a" * 64),
    ],
)
def test_snake_case(word: str, name: str) -> None:
    assert snake_case(word) == name


@pytest.mark.parametrize("event_type", [None, "", "ü", 5.5, [], {"a": 1}])
def test_an_event_without_a_usable_type_is_unknown(event_type: Any, bench: "Bench") -> None:
    expected = "5_5" if event_type == 5.5 else "unknown"
    assert read(bench, eventType=event_type).type == f"thinksurance.notification.{expected}"


@pytest.mark.parametrize(
    ("affected", "subject"),
    [
        ([("tender", "1"), ("Inquiry", "007")], "inquiry/7"),
        ([("inquiry", "abc")], "inquiry/abc"),
        ([("inquiry", ""), ("contract", "c-1")], "contract/c-1"),
        ([("customer", 511210), ("tender", "1")], "customer/511210"),
        ([], "notification/5b0c1a9e-2f47-11f0-8d1b-0242ac120002"),
        ([("tender", "a/b:c%2F")], "tender/a/b:c%2F"),
        ([("50% tender", "1")], "50% tender/1"),
        ([("tender/a", "b")], "tender%2Fa/b"),
        ([("tender%2Fa", "b")], "tender%252Fa/b"),
        ([("inquiry/7", "")], "notification/5b0c1a9e-2f47-11f0-8d1b-0242ac120002"),
    ],
)
def test_the_subject_is_the_first_inquiry_else_the_first_reference(
    affected: list[tuple[str, Any]], subject: str, bench: "Bench"
) -> None:
    references = [{"referenceType": kind, "referenceId": name} for kind, name in affected]
    assert read(bench, affected=references).subject == subject
    assert read(bench, affected={str(index): one for index, one in enumerate(references)}).subject == subject


def test_no_two_references_have_one_subject(bench: "Bench") -> None:
    kinds = ["".join(one) for length in (1, 2) for one in product("a/%", ("", "%2F", "%252F", "2F"), "/%x")]
    kinds += ["sha256:", "x" * 64, "x" * 65, "y" * 64, "z" * 900, "z" * 901]
    named = {(kind.strip(), name) for kind in kinds for name in ("b", "/b", "a/b", "%2Fb", "y" * 900, "y" * 901)}
    subjects = [
        read(bench, affected=[{"referenceType": kind, "referenceId": name}]).subject for kind, name in sorted(named)
    ]
    assert len(set(subjects)) == len(named)
    assert max(map(len, subjects)) <= 400


def test_a_notification_may_have_data_of_its_own(bench: "Bench") -> None:
    assert read(bench, data={"x": 1}).type == "thinksurance.notification.inquiry_ordered"
    assert read(bench, data={"iId": 7}).type == "thinksurance.inquiry.status_unknown"
    assert read(bench, sHash="x", data={"iId": 7}).type == "thinksurance.inquiry.status_unknown"


def test_an_endless_reference_is_cut_to_a_digest(bench: "Bench") -> None:
    subject = read(bench, affected=[{"referenceType": "x" * 900, "referenceId": "y" * 900}]).subject
    assert len(subject) < 200


def test_references_that_name_nothing_are_told(bench: "Bench", warned: Callable[[Statement], Any]) -> None:
    assert warned(read(bench, affected=[{"referenceType": "inquiry"}])) == {("affected.0", "incomplete-reference")}
    assert warned(read(bench, affected="x")) == {("affected", "wrong-type")}
    assert warned(read(bench, brokerReference=[1])) == {("brokerReference", "wrong-type")}
    assert warned(read(bench, eventTime="bald")) == {("eventTime", "not-a-time")}
    assert warned(read(bench, eventType=["x"])) == {("eventType", "wrong-type")}
    assert warned(read(bench, extra=1)) == {("extra", "unknown-field")}
    reference = {"referenceType": "inquiry", "referenceId": "7", "links": [{"href": "x", "rel": "y"}], "state": 1}
    reference = reference | {"referenceType": "Inquiry"}
    names = {("affected.0.state", "unknown-field"), ("affected.0.links.0.rel", "unknown-field")}
    assert warned(read(bench, affected=[reference])) == names


def test_unknown_types_are_kept_and_told(bench: "Bench", warned: Callable[[Statement], Any]) -> None:
    statement = read(bench, eventType="InquiryMelted", affected=[{"referenceType": "cloud", "referenceId": "7"}])
    assert (statement.type, statement.subject) == ("thinksurance.notification.inquiry_melted", "cloud/7")
    assert warned(statement) == {("eventType", "unknown-value"), ("affected.0.referenceType", "unknown-value")}
    for known in ("InquiryOrdered", "inquiry_ordered", "TENDER_CLOSED"):
        assert warned(read(bench, eventType=known)) == set()


@pytest.mark.parametrize(
    ("stated", "occurred_at", "occurred_on"),
    [
        ("2025-03-09T10:01:02+00:00", datetime(2025, 3, 9, 10, 1, 2, tzinfo=UTC), None),
        ("2025-03-09 10:01:02", datetime(2025, 3, 9, 9, 1, 2, tzinfo=UTC), None),
        ("2025-03-09", None, date(2025, 3, 9)),
        ("", None, None),
        (None, None, None),
        (5, None, None),
    ],
)
def test_the_time_of_the_event(stated: Any, occurred_at: Any, occurred_on: Any, bench: "Bench") -> None:
    statement = read(bench, eventTime=stated)
    assert (statement.occurred_at, statement.occurred_on) == (occurred_at, occurred_on)
    assert statement.effective_at == bench.receipt.received_at


def test_a_repeat_is_known_by_notification_and_content_never_by_event(bench: "Bench") -> None:
    sent = json.loads(bench.sample("thinksurance", "notification-new.json"))
    key = read(bench).repeat_key
    assert key is not None
    assert key.startswith("5b0c1a9e-2f47-11f0-8d1b-0242ac120002:")
    reordered = dict(reversed(sent.items()))
    assert bench.read("thinksurance", json.dumps(reordered, indent=2).encode())[0].repeat_key == key
    keys = {
        read(bench, notificationId="other").repeat_key,
        read(bench, eventTime="2025-03-09T10:01:03Z").repeat_key,
        read(bench, eventId="e").repeat_key,
        read(bench, notificationId=None).repeat_key,
        key,
    }
    assert len(keys) == 5
    assert len(read(bench, notificationId="x" * 5000).repeat_key or "") < 300
