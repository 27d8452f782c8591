"""Thin notifications: the inquiries that they refer to are pulled."""

from app.accounts.store import set_source
from app.administration.platforms import get_platform
from app.backfill import PULL, SEARCH
from app.ids import IdSource
from app.jobs.kind import LIMIT
from app.processing.pulls import CAUSE, SUBJECT
from tests.backfill.conftest import Stand, notification
from tests.doubles.thinksurance_world import ORDERED, PROPOSAL


def test_the_inquiry_is_pulled_with_our_own_credentials_and_is_no_gap(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.push(notification(inquiry))
    assert stand.do(PULL) == 1
    assert (stand.status(inquiry), stand.gaps()) == (ORDERED, [])
    assert stand.do(PULL) == 0


def test_a_repeated_notification_asks_for_nothing_more(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    for _ in range(2):
        stand.push(notification(inquiry))
        done = stand.do(PULL)
    assert done == 0


def test_all_inquiries_of_a_notification_are_pulled(stand: Stand) -> None:
    stand.add_source()
    first, second = stand.new_inquiry(), stand.new_inquiry(PROPOSAL)
    told = notification(first)
    told["affected"].append({"referenceType": "Inquiry", "referenceId": str(second.id)})
    stand.push(told)
    assert (stand.do(PULL), stand.do(PULL)) == (1, 0)
    assert (stand.status(first), stand.status(second)) == (ORDERED, PROPOSAL)
    assert stand.gaps() == []


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
    stand.push(notification(inquiry))
    assert stand.do(PULL) == 1
    assert stand.status(inquiry) == ORDERED


def test_what_is_wanted_for_a_week_in_vain_is_given_up(stand: Stand) -> None:
    stand.add_source()
    stand.push(notification(stand.new_inquiry()))
    stand.later(days=6, hours=23)
    assert len(PULL.due(stand.database, stand.now[0])) == 1
    stand.later(hours=2)
    assert PULL.due(stand.database, stand.now[0]) == []
    assert stand.rows("SELECT count(*) FROM wanted_pulls") == [(0,)]


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
    stand.push(notification(stand.new_inquiry()))
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
