"""Which call of ours a callback answers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.ids import first_id_at, time_of
from app.processing.call_keys import customer_key, inquiry_key, keys_of, lead_key, reference_key, token_key
from app.processing.matching import LOST_AFTER
from tests.processing.conftest import Desk

Item = Callable[..., dict[str, Any]]
LEAD = "3F0C9B1E-6A5D-4E8B-9C27-1D4F8A6B7C05"


class Calls:
    """Writes submissions as the room of that name does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def add(
        self,
        *keys: str,
        source_id: UUID | None = None,
        state: str = "accepted",
        matched: bool = False,
        ago: timedelta = timedelta(seconds=1),
        broker: str | None = None,
    ) -> UUID:
        submission_id = self.desk.ids.next()
        source_id = source_id or self.desk.thinksurance
        sent_at = time_of(submission_id) - ago
        self.desk.database.execute(
            "INSERT INTO submissions (id, source_id, kind, state, request, request_sha256, created_at, sent_at, broker)"
            " VALUES (%s, %s, 'forward', %s, '{}', '', %s, %s, %s)",
            (submission_id, source_id, state, sent_at, sent_at, broker),
        )
        for key in keys:
            self.desk.database.execute(
                "INSERT INTO submission_keys (source_id, key, submission_id, matched_at) VALUES (%s, %s, %s, %s)",
                (source_id, key, submission_id, sent_at if matched else None),
            )
        return submission_id

    def state(self, submission_id: UUID) -> str:
        (found,) = self.desk.row("SELECT state FROM submissions WHERE id = %s", submission_id)
        return str(found)

    def first(self, submission_id: UUID) -> tuple[UUID | None, datetime | None]:
        event_id, at = self.desk.row("SELECT first_event_id, answered_at FROM submissions WHERE id = %s", submission_id)
        return event_id, at


@pytest.fixture
def calls(desk: Desk) -> Calls:
    return Calls(desk)


def ties(desk: Desk) -> list[UUID | None]:
    return [row[0] for row in desk.rows("SELECT submission_id FROM events ORDER BY received_at, id")]


def test_a_callback_answers_the_call_that_named_its_inquiry(desk: Desk, calls: Calls, item: Item) -> None:
    ours, other = calls.add(inquiry_key(7), matched=True), calls.add(inquiry_key(8), matched=True)
    desk.lay(item(7))
    desk.lay(item(9))
    desk.process()
    assert ties(desk) == [ours, None]
    (event_id, received_at) = desk.row("SELECT id, received_at FROM events WHERE subject = 'inquiry/7'")
    assert (calls.state(ours), calls.first(ours)) == ("answered", (event_id, received_at))
    assert (calls.state(other), calls.first(other)) == ("accepted", (None, None))


def test_the_first_callback_stays_the_first(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), matched=True)
    late, early = desk.ids.next(), None
    desk.lay(item(7), delivery_id=late)
    desk.process()
    answered = calls.first(ours)
    desk.lay(item(7, status=6))
    desk.process()
    assert calls.first(ours) == answered
    early = first_id_at(time_of(late) - timedelta(milliseconds=500))
    desk.lay(item(7, status=3), delivery_id=early)
    desk.process()
    assert calls.first(ours)[1] == time_of(early)
    assert ties(desk) == [ours] * 3


def test_what_came_before_the_call_is_no_answer(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), ago=timedelta(seconds=-30))
    desk.lay(item(7))
    desk.process()
    desk.processor.match()
    assert ties(desk) == [None]
    assert calls.state(ours) == "accepted"


def test_a_callback_that_was_faster_than_the_answer_is_found_afterwards(desk: Desk, calls: Calls, item: Item) -> None:
    desk.lay(item(7))
    desk.process()
    ours = calls.add(inquiry_key(7), ago=timedelta(seconds=5))
    assert ties(desk) == [None]
    desk.processor.match()
    assert ties(desk) == [ours]
    assert calls.state(ours) == "answered"
    assert desk.rows("SELECT 1 FROM submission_keys WHERE matched_at IS NULL") == []


def test_of_callbacks_found_afterwards_the_first_is_the_answer(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), ago=timedelta(seconds=9))
    first, *_ = (desk.lay(item(7, status=status)) for status in (3, 4, 6))
    desk.process()
    desk.database.execute("UPDATE submissions SET answered_at = NULL, first_event_id = NULL, state = 'accepted'")
    desk.processor.match()
    assert calls.first(ours) == desk.row("SELECT id, received_at FROM events WHERE delivery_id = %s", first)


def test_a_lead_is_found_afterwards_by_each_of_its_ids(desk: Desk, calls: Calls) -> None:
    desk.lay({"id": "L-1", "prospect": {"id": LEAD, "first_name": "Lotte"}}, desk.wegroup)
    desk.process()
    by_party = calls.add(lead_key(LEAD), source_id=desk.wegroup, ago=timedelta(seconds=9))
    by_lead = calls.add(lead_key("l-1"), source_id=desk.wegroup, ago=timedelta(seconds=8))
    desk.processor.match()
    assert [calls.state(by_party), calls.state(by_lead)] == ["answered", "answered"]
    assert ties(desk) == [by_lead]


def test_a_lead_is_known_by_our_reference_alone(desk: Desk, calls: Calls) -> None:
    ours = calls.add(reference_key("crm", "external_ref", "K-1"), source_id=desk.wegroup, state="unknown", matched=True)
    foreign = {"external_ref": "K-1", "external_ref_company": "other"}
    desk.lay({"prospect": {"first_name": "Lotte", "external_ref": foreign}}, desk.wegroup)
    desk.process()
    assert calls.state(ours) == "unknown"
    known = {"external_ref": "K-1", "external_ref_company": "crm"}
    desk.lay({"prospect": {"first_name": "Lotte", "external_ref": known}}, desk.wegroup)
    desk.process()
    assert calls.state(ours) == "answered"
    assert ties(desk) == [None, ours]
    assert desk.row("SELECT platform_ids FROM submissions") == ({},)
    desk.lay({"id": LEAD, "prospect": {"external_ref": known}}, desk.wegroup)
    desk.process()
    assert ties(desk) == [None, ours, ours]


def test_the_platforms_id_is_learned_from_the_callback(desk: Desk, calls: Calls) -> None:
    ours = calls.add(reference_key("crm", "external_ref", "K-1"), source_id=desk.wegroup, state="unknown", matched=True)
    known = {"external_ref": "K-1", "external_ref_company": "crm"}
    desk.lay({"id": LEAD, "prospect": {"first_name": "Lotte", "external_ref": known}}, desk.wegroup)
    desk.process()
    assert desk.row("SELECT state, platform_ids FROM submissions") == ("answered", {"lead_id": LEAD.lower()})
    desk.lay({"lead_id": LEAD, "event_type": "updated"}, desk.wegroup)  # thin: it has no reference
    desk.process()
    assert ties(desk) == [ours, ours]


def test_an_inquiry_is_known_by_our_reference(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(reference_key("crm", "Vorgang", "A-77"), matched=True)
    references = [{"origin": "crm", "paramKey": "Vorgang", "paramValue": "A-77"}]
    desk.lay(item(7, iExternalReferences=references))
    desk.process()
    assert ties(desk) == [ours]


def test_brokers_may_have_the_same_reference(desk: Desk, calls: Calls, item: Item) -> None:
    key = reference_key("crm", "Vorgang", "1")
    theirs = calls.add(key, matched=True, broker="43")
    ours = calls.add(key, matched=True, broker="42", ago=timedelta(seconds=9))
    references = [{"origin": "crm", "paramKey": "Vorgang", "paramValue": "1"}]
    desk.lay(item(7, bExternalId="42", iExternalReferences=references))
    desk.process()
    assert ties(desk) == [ours]
    assert [calls.state(one) for one in (ours, theirs)] == ["answered", "accepted"]


def test_a_customer_leads_to_inquiries_that_are_new_since_the_call(desk: Desk, calls: Calls, item: Item) -> None:
    customer = {"cExternalId": "K-1", "cLastName": "Beispiel"}
    desk.lay(item(6, customer=customer))
    desk.process()
    ours = calls.add(customer_key("42", "K-1"), matched=True, ago=timedelta())
    desk.lay(item(6, customer=customer, status=6))
    desk.lay(item(8, customer={"cExternalId": "K-2"}))
    desk.process()
    assert calls.state(ours) == "accepted"
    desk.lay(item(7, customer=customer))
    desk.process()
    desk.lay(item(7, customer=customer, status=6))
    desk.process()
    assert calls.state(ours) == "answered"
    assert ties(desk) == [None, None, None, ours, ours]
    assert desk.row("SELECT platform_ids FROM submissions") == ({"inquiry_id": 7},)
    assert desk.rows("SELECT 1 FROM submission_keys WHERE key = %s", inquiry_key(7))


def test_an_event_belongs_to_the_last_call_and_answers_all_before_it(desk: Desk, calls: Calls, item: Item) -> None:
    first = calls.add(inquiry_key(7), ago=timedelta(seconds=9), matched=True)
    second = calls.add(inquiry_key(7), ago=timedelta(seconds=3), matched=True)
    later = calls.add(inquiry_key(7), ago=timedelta(seconds=-60), matched=True)
    desk.lay(item(7))
    desk.process()
    assert ties(desk) == [second]
    assert [calls.state(one) for one in (first, second, later)] == ["answered", "answered", "accepted"]


def test_a_call_of_another_source_is_not_answered(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), source_id=desk.wegroup)
    desk.lay(item(7))
    desk.process()
    desk.processor.match()
    assert ties(desk) == [None]
    assert calls.state(ours) == "accepted"


@pytest.mark.parametrize(("before", "after"), [("sending", "answered"), ("unknown", "answered"), ("closed", "closed")])
def test_a_callback_proves_that_the_call_arrived(desk: Desk, calls: Calls, item: Item, before: str, after: str) -> None:
    ours = calls.add(inquiry_key(7), state=before, matched=True)
    desk.lay(item(7))
    desk.process()
    assert calls.state(ours) == after
    assert ties(desk) == [ours]


def test_a_refused_call_is_answered_by_nothing(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), state="refused", matched=True)
    desk.lay(item(7))
    desk.process()
    assert (calls.state(ours), calls.first(ours), ties(desk)) == ("refused", (None, None), [None])


def test_a_replay_changes_nothing(desk: Desk, calls: Calls, item: Item) -> None:
    ours = calls.add(inquiry_key(7), matched=True)
    delivery_id = desk.lay(item(7))
    desk.process()
    before = desk.rows("SELECT * FROM submissions"), ties(desk)
    for _ in range(2):
        desk.ask_again(delivery_id)
        desk.process()
        desk.processor.match()
    assert (desk.rows("SELECT * FROM submissions"), ties(desk)) == before
    assert ties(desk) == [ours]


def test_an_event_that_is_read_otherwise_now_leaves_the_call(desk: Desk, calls: Calls, item: Item) -> None:
    calls.add(inquiry_key(7), matched=True)
    delivery_id = desk.lay(item(7))
    desk.process()
    desk.database.execute("DELETE FROM submission_keys")
    calls.add(inquiry_key(8), matched=True)
    desk.database.execute("UPDATE events SET subject = 'inquiry/x'")  # so that the replay is news
    desk.ask_again(delivery_id)
    desk.process()
    assert ties(desk) == [None]


def test_a_notification_answers_too(desk: Desk, calls: Calls) -> None:
    ours = calls.add(inquiry_key(7), matched=True)
    desk.lay(
        {
            "eventType": "InquiryUpdated",
            "eventTime": "2026-01-09T10:01:02.345Z",
            "eventId": "",
            "notificationId": "5b0c1a9e-2f47-11f0-8d1b-0242ac120002",
            "accountReference": "pool",
            "brokerReference": "42",
            "affected": [{"referenceType": "inquiry", "referenceId": "7"}],
        }
    )
    desk.process()
    assert ties(desk) == [ours]


def test_what_was_sending_when_its_process_ended_becomes_unknown(desk: Desk, calls: Calls) -> None:
    lost = calls.add(state="sending", ago=LOST_AFTER + timedelta(minutes=1))
    going_on = calls.add(state="sending")
    desk.processor.match()
    assert [calls.state(lost), calls.state(going_on)] == ["unknown", "sending"]
    assert desk.row("SELECT problem ->> 'code' FROM submissions WHERE id = %s", lost) == ("interrupted",)


# --- a token of its own

NAMELESS = {"prospect": {"first_name": "Lotte"}}


def test_what_comes_by_its_own_token_answers_a_call_whatever_it_says(desk: Desk, calls: Calls) -> None:
    token_id, other = desk.ids.next(), desk.ids.next()
    ours = calls.add(token_key(token_id), source_id=desk.wegroup, matched=True)
    desk.lay(NAMELESS, desk.wegroup, token_id=other)
    desk.lay(NAMELESS, desk.wegroup)
    desk.process()
    assert (ties(desk), calls.state(ours)) == ([None, None], "accepted")
    desk.lay(NAMELESS, desk.wegroup, token_id=token_id)
    desk.process()
    assert (ties(desk), calls.state(ours)) == ([None, None, ours], "answered")
    assert desk.row("SELECT platform_ids FROM submissions") == ({},)


def test_the_platforms_id_is_learned_by_the_token(desk: Desk, calls: Calls) -> None:
    token_id = desk.ids.next()
    ours = calls.add(token_key(token_id), source_id=desk.wegroup, state="unknown", matched=True)
    desk.lay({"lead_id": LEAD, "event_type": "created"}, desk.wegroup, token_id=token_id)
    desk.process()
    desk.lay({"lead_id": LEAD, "event_type": "updated"}, desk.wegroup)
    desk.process()
    assert desk.row("SELECT state, platform_ids FROM submissions") == ("answered", {"lead_id": LEAD.lower()})
    assert ties(desk) == [ours, ours]


@pytest.mark.parametrize("name", ["ref:a:b", "ref%3Aa", "delivery:x:0", f"sha256:{'0' * 64}", "y" * 900])
def test_a_name_that_is_not_written_as_it_is_is_learned_by_no_token(desk: Desk, calls: Calls, name: str) -> None:
    token_id = desk.ids.next()
    calls.add(token_key(token_id), source_id=desk.wegroup, matched=True)
    desk.lay({"lead_id": name, "event_type": "created"}, desk.wegroup, token_id=token_id)
    desk.process()
    assert desk.row("SELECT state, platform_ids FROM submissions") == ("answered", {})


def test_a_token_of_another_source_answers_nothing(desk: Desk, calls: Calls) -> None:
    token_id = desk.ids.next()
    ours = calls.add(token_key(token_id), source_id=desk.thinksurance)
    calls.add(lead_key("x"), source_id=desk.wegroup)  # so that its events are looked at
    desk.lay(NAMELESS, desk.wegroup, token_id=token_id)
    desk.process()
    desk.processor.match()
    assert (ties(desk), calls.state(ours)) == ([None], "accepted")


def test_a_token_that_is_learned_afterwards_is_looked_back_for(desk: Desk, calls: Calls) -> None:
    token_id = desk.ids.next()
    desk.lay(NAMELESS, desk.wegroup, token_id=token_id)
    desk.lay({"hello": "world"}, desk.wegroup, token_id=token_id)  # no event
    desk.lay(NAMELESS, desk.wegroup)
    desk.process()
    ours = calls.add(token_key(token_id), source_id=desk.wegroup, ago=timedelta(seconds=5))
    later = calls.add(token_key(token_id), source_id=desk.wegroup, ago=timedelta(seconds=-60))
    desk.processor.match()
    assert ties(desk) == [ours, None]
    assert [calls.state(ours), calls.state(later)] == ["answered", "accepted"]
    assert desk.rows("SELECT 1 FROM submission_keys WHERE matched_at IS NULL") == []


def test_a_replay_keeps_what_is_tied_by_a_token(desk: Desk, calls: Calls) -> None:
    token_id = desk.ids.next()
    ours = calls.add(token_key(token_id), source_id=desk.wegroup, matched=True)
    delivery_id = desk.lay(NAMELESS, desk.wegroup, token_id=token_id)
    desk.process()
    desk.ask_again(delivery_id, desk.wegroup)
    desk.process()
    assert ties(desk) == [ours]
    desk.database.execute("UPDATE events SET type = 'wegroup.lead.other', submission_id = NULL")  # so that it is news
    desk.ask_again(delivery_id, desk.wegroup)
    desk.process()
    assert ties(desk) == [ours]
    # Nor does a key by which it is found again make it leave: all of its keys are looked at.
    ((subject,),) = desk.rows("SELECT subject FROM events")
    earlier = calls.add(lead_key("L-9"), source_id=desk.wegroup, ago=timedelta(seconds=30))
    desk.database.execute(
        "UPDATE events SET parts = jsonb_set(parts, '{0,keys}', '[\"id:l-9\"]') WHERE subject = %s", (subject,)
    )
    desk.database.execute("UPDATE leads SET identity = 'id:l-9'")
    desk.processor.match()
    assert (ties(desk), calls.state(earlier)) == ([ours], "answered")


def test_keys_are_read_from_what_an_event_says() -> None:
    reference = {"crm\x1fn": {"origin": "crm", "key": "n", "value": "1"}, "x": {"origin": "crm", "key": "m"}}
    parts = [
        {"kind": "lead", "keys": [f"id:{LEAD.lower()}", "ref:crm\x1fK"], "fields": {"external_references": reference}},
        {"kind": "customer", "keys": ["c:1", "x:42\x1fK-1"], "fields": {"external_references": {"y": {"value": "no"}}}},
    ]
    assert keys_of("lead/x", parts) == {lead_key(LEAD), reference_key("crm", "n", "1"), customer_key("42", "K-1")}
    assert keys_of("inquiry/7", []) == {inquiry_key(7)}
    assert keys_of("offer/7", []) == frozenset()
    token_id = UUID("019a9c3e-1f00-7abc-8def-0123456789ab")
    assert keys_of("offer/7", [], token_id) == {"token:019a9c3e-1f00-7abc-8def-0123456789ab"}
    assert len(reference_key("crm", "n", "v" * 5000)) < 500
    assert reference_key("a\x1fb", "c", "v") != reference_key("a", "b\x1fc", "v")
    assert customer_key("a\x1fb", "c") != customer_key("a", "b\x1fc")
