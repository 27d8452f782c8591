"""What says nothing about a document gives none up: a platform that is away, a source that is off, a clock ahead."""

from datetime import timedelta

import pytest

from app.documents import fetching, keeping
from app.documents.keeping import MOST_RENEWALS
from tests.documents.conftest import NOON, Desk

ENDED = NOON - timedelta(minutes=1)


def test_a_platform_that_answers_too_late_is_waited_for(desk: Desk) -> None:
    document = desk.announce(desk.source(), link=None)
    desk.answer_seconds = 0.1
    desk.double.quirks.add("slow", "/api/", seconds=5.0, times=99)
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"]) == ("announced", "timed-out")


@pytest.mark.parametrize("login", [True, False])
def test_while_the_platform_is_away_an_ended_token_ends_nothing(desk: Desk, login: bool) -> None:
    document = desk.announce(desk.source(login=login), token_expires_at=ENDED, renewals=MOST_RENEWALS)
    desk.double.quirks.add("server-error", times=99)
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"]) == ("announced", "server-failed")
    desk.double.quirks.clear()
    desk.moment += timedelta(minutes=1)
    desk.sweep()
    assert desk.row(document)["state"] == "archived"


@pytest.mark.parametrize("word", ["refused", "not-found", "not-a-file", "link-refused", "no-way"])
def test_what_an_ended_token_may_have_hindered_is_tried_with_another(desk: Desk, word: str) -> None:
    held = keeping.claim(desk.database, desk.vault, desk.announce(desk.source(), token_expires_at=ENDED), NOON)
    assert held is not None
    assert fetching.settle(held, word, NOON, renewable=True) == ("announced", NOON + keeping.RENEW_EVERY)


def test_what_a_source_had_due_when_it_was_disabled_comes_once_it_is_enabled(desk: Desk) -> None:
    document = desk.announce(desk.source())
    assert desk.sweep(meanwhile="UPDATE sources SET disabled_at = now()") == 1
    row = desk.row(document)
    assert (row["state"], row["last_error"], desk.double.heard) == ("announced", "no-way", [])
    desk.database.execute("UPDATE sources SET disabled_at = NULL")
    desk.moment += timedelta(hours=1)
    assert desk.sweep() == 1
    assert desk.row(document)["state"] == "archived"


def test_a_fetcher_that_died_while_the_clock_was_ahead_keeps_no_document(desk: Desk) -> None:
    document = desk.announce(desk.source())
    assert keeping.claim(desk.database, desk.vault, document, NOON + timedelta(days=400))
    assert desk.sweep() == 0
    desk.renew()  # which looks once a minute for what was put off
    assert desk.sweep() == 1
    assert desk.row(document)["state"] == "archived"
