"""Thin notifications: what they refer to is pulled, their links are followed where that is allowed and nowhere else."""

import asyncio
from typing import Any

import pytest

from app.accounts.store import set_source
from app.administration.platforms import get_platform
from app.backfill import PULL, SEARCH
from app.backfill.references import MOST_LINKS
from app.ids import IdSource
from app.jobs.kind import LIMIT
from app.processing.pulls import CAUSE, SUBJECT
from app.providers.links import LinkRefusedError
from app.providers.thinksurance.calls.v2 import v2_for
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import ORDERED, PROPOSAL, Inquiry


def _notification(inquiry: Inquiry, *links: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "eventType": "InquiryOrdered",
        "eventTime": "2025-03-09T10:01:02.345Z",
        "eventId": "",
        "notificationId": f"n-{inquiry.id}",
        "accountReference": "musterpool",
        "brokerReference": "42",
        "affected": [
            {"referenceType": "inquiry", "referenceId": str(inquiry.id)},
            *(
                {"referenceType": kind, "referenceId": name, "links": [{"contentType": "a/b", "href": link}]}
                for kind, name, link in links
            ),
        ],
    }


def test_the_inquiry_is_pulled_with_our_own_credentials_and_is_no_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.push(_notification(inquiry))
    assert stand.do(PULL) == 1
    assert (stand.status(inquiry), stand.gaps()) == (ORDERED, [])
    assert stand.do(PULL) == 0


def test_a_repeated_notification_asks_for_nothing_more(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    for _ in range(2):
        stand.push(_notification(inquiry))
        done = stand.do(PULL)
    assert done == 0


def test_other_references_are_kept_as_they_came_and_never_in_quarantine(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.double.older.references["contracts/3f1d"] = {"contract": {"number": "V-1"}}
    link = f"{stand.url}/api/public/v2/contracts/3f1d"
    stand.push(_notification(inquiry, ("contract", "3f1d", link)))
    stand.do(PULL)
    rows = stand.rows(
        "SELECT convert_from(d.body, 'UTF8'), o.status, o.verdict, o.brokers, o.items FROM deliveries d"
        " JOIN outcomes o ON o.delivery_id = d.id WHERE d.via = 1 AND d.headers LIKE %s",
        b"%reference%",
    )
    assert rows == [('{"contract":{"number":"V-1"}}', "accepted", "confirmed", ["42"], [])]


def test_what_a_link_has_led_to_before_is_not_kept_again(stand: Stand) -> None:
    stand.add_source()
    stand.double.older.references["contracts/3f1d"] = {"contract": {"number": "V-1"}}
    link = ("contract", "3f1d", f"{stand.url}/api/public/v2/contracts/3f1d")
    for _ in range(2):
        stand.push(_notification(stand.new_inquiry(), link))
        stand.do(PULL)
    assert stand.double.older.asked == ["contracts/3f1d"] * 2
    assert stand.rows("SELECT count(*) FROM deliveries WHERE headers LIKE %s", b"%reference%") == [(1,)]


def test_a_notification_of_very_many_links_has_some_followed(stand: Stand) -> None:
    stand.add_source()
    links = [("contract", f"{number}", f"{stand.url}/api/public/v2/{number}") for number in range(MOST_LINKS + 5)]
    stand.push(_notification(stand.new_inquiry(), *links))
    stand.do(PULL)
    assert stand.double.older.asked == [name for _, name, _ in links[:MOST_LINKS]]


def test_a_push_that_calls_itself_what_a_link_led_to_is_read_all_the_same(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.push(stand.double.world.item(inquiry), headers=[(CAUSE, "reference"), (SUBJECT, "contract/1")])
    assert stand.status(inquiry) == ORDERED


def test_an_inquiry_is_asked_for_by_the_token_of_the_broker_that_sent_it(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(PROPOSAL)
    stand.push(stand.double.world.item(inquiry))
    other = [("b_token", "f" * 24)]  # the platform does not know it
    set_source(stand.database, stand.vault, get_platform("thinksurance"), "acme", credentials=other)
    inquiry.status = ORDERED
    stand.push(_notification(inquiry))
    assert stand.do(PULL) == 1
    assert stand.status(inquiry) == ORDERED


def test_what_is_wanted_for_a_week_in_vain_is_given_up(stand: Stand) -> None:
    stand.add_source()
    stand.push(_notification(stand.new_inquiry()))
    stand.later(days=6, hours=23)
    assert len(PULL.due(stand.database, stand.now[0])) == 1
    stand.later(hours=2)
    assert PULL.due(stand.database, stand.now[0]) == []
    assert stand.rows("SELECT count(*) FROM wanted_pulls") == [(0,)]


def test_what_a_link_does_not_bring_is_left_out_and_the_rest_done(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.double.older.references |= {"moved": "http://127.0.0.1:1/secret", "customers/1": {"id": 1}}
    stand.push(
        _notification(
            inquiry,
            ("contract", "a", f"{stand.url}/api/public/v2/none"),
            ("contract", "b", f"{stand.url}/api/public/v2/moved"),
            ("contract", "c", "https://elsewhere.example.test/contract"),
            ("contract", "d", "http://169.254.169.254/latest/meta-data"),
            ("contract", "e", "file:///etc/passwd"),
            ("customer", "1", f"{stand.url}/api/public/v2/customers/1"),
        )
    )
    stand.do(PULL)
    assert stand.status(inquiry) == ORDERED
    assert stand.double.older.asked == ["none", "moved", "customers/1"]
    assert stand.rows("SELECT count(*) FROM deliveries WHERE via = 1") == [(2,)]
    assert stand.rows("SELECT count(*) FROM wanted_pulls") == [(0,)]


def test_a_token_that_ended_before_its_time_is_renewed(stand: Stand) -> None:
    stand.add_source()
    names = ["contracts/1", "contracts/2", "contracts/3"]
    stand.double.older.references |= {name: {"name": name} for name in names}
    stand.double.older.ends_after = 2
    links = [("contract", name, f"{stand.url}/api/public/v2/{name}") for name in names]
    stand.push(_notification(stand.new_inquiry(), *links))
    stand.do(PULL)
    assert stand.double.older.asked == [*names, names[-1]]
    kept = stand.rows("SELECT convert_from(body, 'UTF8') FROM deliveries WHERE headers LIKE %s", b"%reference%")
    assert len(kept) == len(names)


@pytest.mark.parametrize(
    "link",
    [
        "https://thinksurance.de.example.test/",
        "https://rest.thinksurance.de@example.test/",
        "http://rest.thinksurance.de/",
        "https://rest.thinksurance.de:8443/",
        "//rest.thinksurance.de/",
    ],
)
def test_links_that_only_look_allowed_are_not_followed(stand: Stand, link: str) -> None:
    source_id = stand.add_source()
    source = stand._circumstances().sources[source_id]

    async def follow() -> None:
        client = v2_for(source, answer_seconds=1)
        try:
            await client.get(link)
        finally:
            await client.aclose()

    with pytest.raises(LinkRefusedError):
        asyncio.run(follow())
    assert stand.double.older.asked == []


def test_what_was_tried_in_vain_keeps_nothing_new_waiting(stand: Stand) -> None:
    source_id = stand.add_source()
    for number in range(LIMIT + 5):
        wanted = IdSource().next()
        stand.database.execute(
            "INSERT INTO wanted_pulls (id, source_id, subject, cause) VALUES (%s, %s, %s, 'notification')",
            (wanted, source_id, f"inquiry/{number + 1}"),
        )
        stand.database.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, status)"
            " VALUES ('callbox', 'inquiries.pull', %(name)s, %(name)s, 'failed')",
            {"name": f"inquiries.pull:{wanted}"},
        )
    stand.push(_notification(stand.new_inquiry()))
    ((fresh,),) = stand.rows("SELECT id FROM wanted_pulls ORDER BY wanted_at DESC LIMIT 1")
    due = PULL.due(stand.database, stand.now[0])
    assert (due[0], len(due)) == (fresh, LIMIT)


def test_tokens_that_are_refused_keep_no_other_source_waiting(stand: Stand) -> None:
    refused, other = stand.add_source("refused"), stand.add_source("other")
    tokens = [("b_token", f"{number:024x}") for number in range(LIMIT + 5)]
    set_source(stand.database, stand.vault, get_platform("thinksurance"), "refused", credentials=tokens)
    stand.database.execute(
        "INSERT INTO searches (source_id, scope, last_days, begun_at, failed_at)"
        " SELECT source_id, id::text, 0, %(at)s, %(at)s FROM source_credentials"
        " WHERE source_id = %(source)s AND name = 'b_token'",
        {"source": refused, "at": stand.now[0]},
    )
    ((scope,),) = stand.rows("SELECT id FROM source_credentials WHERE source_id = %s AND name = 'b_token'", other)
    stand.database.execute(
        "INSERT INTO searches (source_id, scope, last_days, begun_at, done_at) VALUES (%s, %s, 0, %s, %s)",
        (other, str(scope), stand.now[0], stand.now[0]),
    )
    stand.later(minutes=30)
    stand.database.execute("UPDATE searches SET begun_at = %s WHERE source_id = %s", (stand.now[0], refused))
    stand.later(minutes=31)
    assert scope in SEARCH.due(stand.database, stand.now[0])


def test_a_search_that_was_done_while_the_clock_ran_ahead_is_made_again(stand: Stand) -> None:
    stand.add_source()
    stand.later(days=400)
    assert stand.do(SEARCH) == 1
    assert stand.do(SEARCH) == 0
    stand.later(days=-400)
    assert stand.do(SEARCH) == 1
