"""What pulls prove of pushes: who sent them, whatever the recipe of their signature."""

from app.accounts.model import Mode
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import ORDERED, PROPOSAL

ANOTHER_RECIPE = "another-secret"


def test_a_push_with_the_signature_of_the_pull_of_the_same_inquiry_is_verified(stand: Stand) -> None:
    stand.add_source()
    stand.double.world.signing_secret = ANOTHER_RECIPE
    inquiry = stand.new_inquiry()
    stand.push(stand.double.world.item(inquiry))
    assert stand.verdicts() == ["invalid"]
    stand.do()
    assert stand.verdicts() == ["verified", "confirmed"]
    stand.push(stand.double.world.item(inquiry))  # the next one is so at once
    assert stand.verdicts() == ["verified", "confirmed", "verified"]


def test_a_push_with_which_the_pull_agrees_but_for_the_signature_is_confirmed_and_that_is_noted(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.push({**stand.double.world.item(inquiry), "sHash": "0" * 32})
    stand.do()
    assert stand.verdicts()[0] == "confirmed"
    assert stand.rows("SELECT deviated_at IS NOT NULL FROM pulled") == [(True,)]


def test_a_push_that_says_something_else_stays_what_it_was(stand: Stand) -> None:
    stand.add_source()
    stand.double.world.signing_secret = ANOTHER_RECIPE
    inquiry = stand.new_inquiry(PROPOSAL)
    forged = stand.double.world.item(inquiry)
    forged["data"]["premiumYearly"] = 1
    stand.push(forged)
    stand.later(seconds=1)
    stand.do()
    assert stand.verdicts() == ["invalid", "confirmed"]


def test_what_is_in_quarantine_is_released_by_a_pull_that_agrees(stand: Stand) -> None:
    stand.add_source(mode=Mode.ENFORCE)
    stand.double.world.signing_secret = ANOTHER_RECIPE
    inquiry = stand.new_inquiry()
    sent = stand.push(stand.double.world.item(inquiry))
    assert stand.rows("SELECT status FROM outcomes WHERE delivery_id = %s", sent) == [("quarantined",)]
    stand.do()
    assert stand.status(inquiry) == ORDERED
    assert stand.rows("SELECT status, verdict FROM outcomes WHERE delivery_id = %s", sent) == [("accepted", "verified")]


def test_a_pull_proves_the_recipe_and_is_never_in_quarantine(stand: Stand) -> None:
    source = stand.add_source(mode=Mode.ENFORCE)
    stand.new_inquiry()
    stand.do()
    assert stand.verdicts() == ["verified"]
    assert stand.rows("SELECT recipe_proven_at IS NOT NULL FROM sources WHERE id = %s", source) == [(True,)]
    stand.double.world.signing_secret = ANOTHER_RECIPE
    stand.new_inquiry()
    stand.later(hours=2)
    stand.do()
    assert stand.verdicts() == ["verified", "confirmed", "confirmed"]


def test_what_was_confirmed_once_stays_so_when_it_is_processed_again(stand: Stand) -> None:
    stand.add_source()
    stand.double.world.signing_secret = ANOTHER_RECIPE
    inquiry = stand.new_inquiry(PROPOSAL)
    sent = stand.push(stand.double.world.item(inquiry))
    stand.do()
    inquiry.status = ORDERED
    stand.later(hours=2)
    stand.do()
    stand.database.execute("INSERT INTO inbox SELECT id, source_id, 0 FROM deliveries WHERE id = %s", (sent,))
    stand.process()
    assert stand.verdicts()[0] == "verified"
    assert stand.rows("SELECT verdict FROM outcomes WHERE delivery_id = %s", sent) == [("verified",)]
