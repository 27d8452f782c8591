"""An answer is had by whichever token has it, and kept once and whole: also where it was cut off or names little."""

from typing import Any

import psycopg
import pytest

from app.accounts.store import set_source
from app.administration.platforms import get_platform
from app.backfill import PULL, SEARCH, storing
from app.processing.missing import want
from app.processing.pulls import Cause
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import ACCOUNT_TOKEN, BROKER_TOKEN, CALCULATED, ORDERED, PROPOSAL, Inquiry


def set_tokens(stand: Stand, name: str, *tokens: str) -> None:
    """Have the source ask by these tokens alone, in this order."""
    stand.database.execute("DELETE FROM source_credentials WHERE name IN ('a_token', 'b_token')")
    given = [(name, token) for token in tokens]
    set_source(stand.database, stand.vault, get_platform("thinksurance"), "acme", credentials=given)


def test_a_source_of_accounts_is_searched_and_asked_by_their_tokens(stand: Stand) -> None:
    source = stand.add_source()
    set_tokens(stand, "a_token", ACCOUNT_TOKEN)
    inquiry = stand.new_inquiry(PROPOSAL)
    assert stand.do(SEARCH) == 1
    assert stand.status(inquiry) == PROPOSAL
    inquiry.status = ORDERED
    want(stand.database, source, f"inquiry/{inquiry.id}", Cause.ASKED)
    assert stand.do(PULL) == 1
    assert stand.status(inquiry) == ORDERED


@pytest.mark.parametrize("api", ["v1.1", "v1"])
def test_an_inquiry_is_had_by_the_token_that_has_it_wherever_it_stands(stand: Stand, api: str) -> None:
    source = stand.add_source(api=api)
    other = stand.double.world.create_broker({"bExternalId": "43"}).token  # it has no such inquiry
    set_tokens(stand, "b_token", "f" * 24, other, BROKER_TOKEN)  # the first is refused
    inquiry = stand.new_inquiry()
    want(stand.database, source, f"inquiry/{inquiry.id}", Cause.ASKED)
    assert stand.do(PULL) == 1
    assert stand.status(inquiry) == ORDERED


def test_a_search_asks_for_as_many_days_as_are_set(stand: Stand) -> None:
    stand.add_source(pull_days="7")
    stand.do(SEARCH)
    assert [one.query["lastDays"] for one in stand.double.heard if one.path == "/api/ipn/inquiries"] == ["7"]


def test_the_same_answer_is_kept_anew_only_while_a_document_waits_for_its_token(stand: Stand) -> None:
    stand.add_source()
    stand.new_inquiry(ORDERED)

    def searched() -> int:
        stand.later(hours=2)
        stand.do(SEARCH)
        ((count,),) = stand.rows("SELECT count(*) FROM deliveries")
        return int(count)

    assert [searched(), searched()] == [1, 2]
    archived = "UPDATE documents SET state = 'archived', archived_at = now()"
    assert stand.database.execute(archived).rowcount == 1
    assert [searched(), searched()] == [2, 2]


def leave_out_ids(stand: Stand, form: str) -> None:
    """Have the platform answer searches in this form, without the number of the inquiry in each item."""
    stand.double.settings.pull_form = form
    item = stand.double.world.item

    def nameless(inquiry: Inquiry) -> dict[str, Any]:
        said = item(inquiry)
        return said | {"data": {name: value for name, value in said["data"].items() if name != "iId"}}

    stand.double.world.item = nameless  # type: ignore[method-assign]


@pytest.mark.parametrize("form", ["list", "dictionary"])
def test_an_item_that_does_not_name_its_inquiry_is_kept_once(stand: Stand, form: str) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry(CALCULATED)
    leave_out_ids(stand, form)
    for _ in range(2):
        assert stand.do(SEARCH) == 1
        stand.later(hours=2)
    assert stand.rows("SELECT count(*) FROM deliveries") == [(1,)]
    assert stand.status(inquiry) == (CALCULATED if form == "dictionary" else None)  # there its key names it


def test_what_was_cut_off_while_it_was_kept_is_kept_the_next_time(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.add_source()
    stand.new_inquiry()
    leave_out_ids(stand, "list")  # such an item is known by its bytes alone
    with monkeypatch.context() as patch:
        patch.setattr(storing, "STATEMENT", b"no statement")
        with pytest.raises(psycopg.Error):
            stand.do(SEARCH)
    assert stand.do(SEARCH) == 1
    assert stand.rows("SELECT count(*) FROM deliveries") == [(1,)]
