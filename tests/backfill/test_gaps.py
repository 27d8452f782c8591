"""What pushes missed: found by pulls, named once, and told apart from what was only late, in doubt, or announced."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from app.backfill import PULL, SEARCH
from app.jobs import Kind
from app.processing.missing import want
from app.processing.pulls import Cause
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import CALCULATED, ORDERED, PROPOSAL, TENDERING


def test_a_push_that_never_came_is_a_gap_and_the_inquiry_is_right(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    stand.push(stand.double.world.item(inquiry))
    stand.later(minutes=5)
    inquiry.status = ORDERED  # and nobody tells
    stand.later(minutes=5)
    assert stand.do() == 1
    assert stand.status(inquiry) == ORDERED
    assert stand.gaps() == [(f"inquiry/{inquiry.id}", False)]
    since, found = stand.rows("SELECT missed_since, found_at FROM gaps")[0]
    assert stand.now[0] - found < timedelta(seconds=1)
    assert found - since == timedelta(minutes=10, seconds=1)  # since the push before it


def test_something_is_missing_since_a_pull_last_found_all_as_it_was_known(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    stand.push(stand.double.world.item(inquiry))
    for _ in range(2):  # the second one only confirms
        stand.do()
        stand.later(hours=2)
    well = stand.rows("SELECT confirmed_at FROM inquiries")
    inquiry.status = ORDERED
    stand.do()
    assert stand.rows("SELECT missed_since FROM gaps") == well


def test_what_came_while_the_platform_was_asked_makes_a_gap_no_shorter(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    before = replace(inquiry, updated_on=inquiry.updated_on - timedelta(days=1))
    stand.push(stand.double.world.item(before))
    told = max(stand.now[0], datetime.combine(inquiry.updated_on, time(), stand.bench.zone))
    inquiry.status = ORDERED
    stand.later(minutes=5)
    late = stand.double.world.item(replace(before, status=CALCULATED))
    stand.push(late, at=stand.now[0] + timedelta(seconds=9))
    stand.do()
    assert stand.rows("SELECT missed_since, found_at > missed_since FROM gaps") == [(told, True)]


def test_what_is_dated_tomorrow_is_missing_since_it_was_found(stand: Stand) -> None:
    stand.add_source()
    stand.new_inquiry().updated_on += timedelta(days=1)
    stand.do()
    assert stand.rows("SELECT found_at - missed_since FROM gaps") == [(timedelta(0),)]


def test_an_item_that_says_what_is_known_confirms_and_makes_no_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.push(stand.double.world.item(inquiry))
    assert not stand.confirmed(inquiry)
    stand.do()
    assert stand.confirmed(inquiry)
    assert stand.gaps() == []


def test_the_same_answer_again_makes_no_delivery_but_confirms_anew(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(CALCULATED)
    stand.do()
    count = stand.rows("SELECT count(*) FROM deliveries")
    first = stand.rows("SELECT confirmed_at FROM inquiries")
    stand.later(hours=2)
    assert stand.do() == 1
    assert stand.rows("SELECT count(*) FROM deliveries") == count
    assert stand.rows("SELECT confirmed_at FROM inquiries") > first
    assert stand.status(inquiry) == CALCULATED


@pytest.mark.parametrize("newer_first", [True, False])
def test_of_two_items_of_one_inquiry_in_an_answer_the_newer_stands(stand: Stand, newer_first: bool) -> None:
    stand.add_source()
    stand.double.settings.pull_form = "list"
    newer = stand.new_inquiry(CALCULATED)
    older = replace(newer, status=TENDERING, updated_on=newer.updated_on - timedelta(days=1))
    both = [newer, older] if newer_first else [older, newer]
    stand.double.world.inquiries = dict(enumerate(both))
    for _ in range(2):
        stand.do(SEARCH)
        assert stand.status(newer) == CALCULATED
        assert stand.rows("SELECT count(*) FROM deliveries") == [(1,)]
        stand.later(hours=2)


def test_what_the_platform_goes_back_to_is_news_although_a_pull_said_it_before(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    stand.do()
    stand.push(stand.double.world.item(replace(inquiry, status=ORDERED)))
    assert stand.status(inquiry) == ORDERED
    stand.later(hours=2)
    stand.do(SEARCH)
    assert stand.status(inquiry) == PROPOSAL


def test_an_older_answer_that_is_kept_later_does_not_stand_for_the_newer_one(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(CALCULATED)
    stand.do(SEARCH)
    stand.later(hours=-1)
    inquiry.status = TENDERING
    stand.do(SEARCH)
    stand.later(hours=3)
    inquiry.status = CALCULATED
    assert stand.do(SEARCH) == 1
    assert stand.rows("SELECT count(*) FROM deliveries") == [(2,)]


def test_what_changed_of_the_customer_alone_is_news(stand: Stand) -> None:
    stand.add_source()
    customer = stand.new_inquiry(CALCULATED).customer
    assert customer is not None
    stand.do(SEARCH)
    customer.fields["cLastName"] = "Beispiel"
    stand.later(hours=2)
    stand.do(SEARCH)
    assert stand.rows("SELECT last_name FROM customers") == [("Beispiel",)]


def test_a_search_is_due_again_after_its_period_and_never_where_it_is_off(stand: Stand) -> None:
    stand.add_source("hourly")
    stand.add_source("daily", pull_every="1d")
    stand.add_source("never", pull_every="off")
    assert [stand.do(SEARCH), stand.do(SEARCH)] == [2, 0]
    stand.later(minutes=61)
    assert stand.do(SEARCH) == 1
    stand.later(days=1)
    assert stand.do(SEARCH) == 2


def test_after_a_long_absence_more_days_are_asked_for(stand: Stand) -> None:
    stand.add_source()
    stand.do()
    for days in (9, 400):
        stand.later(days=days)
        stand.do()
    asked = [one.query["lastDays"] for one in stand.double.heard if one.path == "/api/ipn/inquiries"]
    assert asked == ["2", "11", "92"]


def test_what_no_push_ever_brings_is_no_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(CALCULATED)
    stand.do()
    assert (stand.status(inquiry), stand.gaps()) == (CALCULATED, [])


def test_what_pushes_are_seen_to_bring_is_missed(stand: Stand) -> None:
    stand.add_source()
    stand.push(stand.double.world.item(stand.new_inquiry(CALCULATED)))
    missed = stand.new_inquiry(CALCULATED)
    begun = datetime.combine(missed.updated_on, time(), stand.bench.zone)
    stand.do()
    assert stand.gaps() == [(f"inquiry/{missed.id}", False)]
    assert stand.rows("SELECT missed_since FROM gaps") == [(begun,)]  # nothing was ever known of it


def test_what_happened_before_the_source_was_there_is_no_gap(stand: Stand) -> None:
    source = stand.add_source()
    stand.new_inquiry()
    stand.database.execute("UPDATE sources SET created_at = %s WHERE id = %s", (stand.now[0], source))
    stand.do()
    assert stand.gaps() == []


def test_on_its_first_day_a_source_misses_only_what_happened_once_it_was_told_anything(stand: Stand) -> None:
    source = stand.add_source()
    created_at = datetime.combine(stand.today, time(0, 30), stand.bench.zone)  # in UTC it is the day before
    stand.database.execute("UPDATE sources SET created_at = %s WHERE id = %s", (created_at, source))
    known = stand.new_inquiry()
    stand.do()
    assert (stand.status(known), stand.gaps()) == (ORDERED, [])
    stand.push(stand.double.world.item(known))
    missed = stand.new_inquiry()
    stand.later(hours=2)
    stand.do()
    assert stand.gaps() == [(f"inquiry/{missed.id}", False)]


def test_a_push_that_was_only_late_settles_its_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    sent = stand.double.world.item(inquiry)
    stand.do()
    assert stand.gaps() == [(f"inquiry/{inquiry.id}", False)]
    stand.later(hours=3)
    stand.push(sent)
    assert stand.gaps() == [(f"inquiry/{inquiry.id}", True)]
    (late,) = stand.rows("SELECT late_at FROM gaps")[0]
    assert stand.now[0] - late < timedelta(seconds=1)


def test_only_what_was_missing_settles_a_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.do()
    sent = stand.double.world.item(inquiry)
    newer = stand.double.world.item(inquiry)
    newer["data"]["premiumYearly"] = 1
    stand.push(newer)
    assert stand.gaps() == [(f"inquiry/{inquiry.id}", False)]
    del sent["data"]["premiumYearly"]
    stand.push(sent)  # it says no more than is known
    assert stand.gaps() == [(f"inquiry/{inquiry.id}", True)]


def test_a_return_asks_for_a_pull_which_decides(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    first = stand.double.world.item(inquiry)
    stand.push(first)
    inquiry.status = ORDERED
    stand.push(stand.double.world.item(inquiry))
    assert stand.rows("SELECT cause FROM wanted_pulls") == []
    stand.push(first)  # late, for the platform says `ordered`
    assert stand.status(inquiry) == PROPOSAL
    assert stand.rows("SELECT cause FROM wanted_pulls") == [("return",)]
    stand.later(seconds=5)
    assert stand.do(PULL) == 1
    assert stand.status(inquiry) == ORDERED
    assert stand.rows("SELECT cause FROM wanted_pulls") == []
    assert stand.gaps() == []  # a push had brought it


def test_of_an_inquiry_of_very_many_pushes_the_newest_are_looked_at(stand: Stand) -> None:
    stand.add_source()
    item = stand.double.world.item(stand.new_inquiry(PROPOSAL))

    def said(premium: int) -> dict[str, Any]:
        return {**item, "data": {**item["data"], "premiumYearly": premium}}

    def read() -> int:
        """Return how many events were read so far."""
        stand.rows("SELECT pg_stat_force_next_flush()")
        ((count,),) = stand.rows(
            "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^events_'"
        )
        return int(count)

    stand.push([said(premium) for premium in range(1, 1000)])
    # As the autovacuum does at a moment of its own: by statistics of an empty table the plan reads and sorts them all.
    stand.database.execute("ANALYZE events")
    before = read()
    stand.push(said(998))
    assert stand.rows("SELECT cause FROM wanted_pulls") == [("return",)]
    assert read() - before < 200


def test_without_credentials_nothing_is_wanted(stand: Stand) -> None:
    source = stand.add_source()
    stand.database.execute("DELETE FROM source_credentials WHERE source_id = %s AND name = 'hash'", (source,))
    inquiry = stand.new_inquiry(PROPOSAL)
    first = stand.double.world.item(inquiry)
    inquiry.status = ORDERED
    for item in (first, stand.double.world.item(inquiry), first):
        stand.push(item)
    assert stand.rows("SELECT count(*) FROM wanted_pulls") == [(0,)]
    assert stand.do() == 0


def test_what_came_while_the_platform_was_asked_is_newer_than_its_answer(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    older = stand.double.world.item(inquiry)
    inquiry.status = ORDERED
    stand.push(stand.double.world.item(inquiry), at=stand.now[0] + timedelta(seconds=5))
    stand.double.world.inquiries[inquiry.id].status = PROPOSAL  # what the answer says was true before
    assert stand.double.world.item(inquiry)["data"] == older["data"]
    stand.do()
    assert stand.status(inquiry) == ORDERED


def test_an_answer_that_is_older_news_than_a_push_confirms_nothing(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    stand.push(stand.double.world.item(replace(inquiry, status=ORDERED)))
    inquiry.updated_on -= timedelta(days=1)
    stand.do()
    assert (stand.status(inquiry), stand.confirmed(inquiry)) == (ORDERED, False)


@pytest.mark.parametrize("kind", [SEARCH, PULL])
def test_an_answer_is_as_old_as_its_question(stand: Stand, kind: Kind) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    want(stand.database, stand.sources["acme"], f"inquiry/{inquiry.id}", Cause.ASKED)
    answers = stand.double.quirks

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        stand.later(seconds=9)
        await answers(scope, receive, send)

    stand.double.quirks = slowly  # type: ignore[assignment]
    begun = stand.now[0]
    assert stand.do(kind) == 1
    late = stand.double.world.item(replace(inquiry, status=ORDERED))
    stand.push(late, at=begun + timedelta(seconds=2))  # while the platform was asked
    assert stand.status(inquiry) == ORDERED


def test_by_v1_the_same_is_found(stand: Stand) -> None:
    stand.add_source(api="v1")
    inquiry = stand.new_inquiry()
    stand.do()
    assert (stand.status(inquiry), len(stand.gaps())) == (ORDERED, 1)
    assert [one.path.split("/")[3] for one in stand.double.heard if "/get/" in one.path] == ["get"]
