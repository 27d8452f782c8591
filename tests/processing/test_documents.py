"""What the processor writes about documents: their secrets, and that they are due again with another token."""

from typing import Any
from uuid import UUID

import orjson
import pytest

from tests.processing.conftest import Desk

_ASKED = (
    "SELECT state, attempts, next_attempt_at, last_error, renewals, token_encrypted, link_encrypted,"
    " broker_token_encrypted, token_expires_at, changed_at FROM documents"
)


def _item(item: Any, **said: str) -> Any:
    told = {"token": "t1", "expired": "2026-03-16 12:00:00", "link": "https://a.test/1"} | said
    file = {"name": "Antrag", "fullName": "Antrag.pdf", "hash": "h1", "documentPurpose": "x"}
    file["fullFilePath"] = told.pop("link")
    return item() | {"docs": {"docToken": told, "files": [file]}}


def _given_up(desk: Desk, state: str) -> None:
    desk.database.execute(
        "UPDATE documents SET state = %s, attempts = 3, next_attempt_at = now(), last_error = 'refused', renewals = 2",
        (state,),
    )


def _announced(desk: Desk, body: Any) -> tuple[Any, ...]:
    desk.lay(body)
    desk.process()
    return desk.row(_ASKED)


def test_a_document_is_due_at_once_with_its_secrets_encrypted(desk: Desk, item: Any) -> None:
    state, attempts, at, error, _, token, link, broker, _, _ = _announced(desk, _item(item))
    assert (state, attempts, at, error) == ("announced", 0, None, None)
    opened = [desk.vault.decrypt(bytes(one), "document") for one in (token, link, broker)]
    assert opened == ["t1", "https://a.test/1", "0123456789abcdef"]


def test_the_same_announcement_again_changes_nothing(desk: Desk, item: Any) -> None:
    before = _announced(desk, _item(item))
    assert _announced(desk, _item(item)) == before
    for state in ("failed", "expired", "announced", "archived"):
        _given_up(desk, state)
        before = desk.row(_ASKED)
        assert _announced(desk, _item(item)) == before


def test_with_another_token_or_link_it_is_due_again(desk: Desk, item: Any) -> None:
    _announced(desk, _item(item))
    for number, state in enumerate(("failed", "expired", "announced")):
        for said in (
            {"token": f"t2{number}"},
            {"link": f"https://a.test/2{number}"},
            {"expired": f"2026-03-2{number} 12:00:00"},
        ):
            _given_up(desk, state)
            assert _announced(desk, _item(item, **said))[:5] == ("announced", 0, None, None, 0), (state, said)


def test_what_is_archived_or_under_way_is_left_alone(desk: Desk, item: Any) -> None:
    _announced(desk, _item(item))
    for number, state in enumerate(("archived", "fetching")):
        _given_up(desk, state)
        before = desk.row(_ASKED)
        after = _announced(desk, _item(item, token=f"other{number}"))
        assert after[:4] == before[:4]
        assert after[5] != before[5]


def test_said_twice_in_one_batch_it_changes_once(desk: Desk, item: Any) -> None:
    for _ in range(2):
        desk.lay(_item(item))
    desk.process()
    assert desk.row("SELECT count(*) FILTER (WHERE e.id = d.last_change_id) FROM events e, documents d") == (1,)
    assert desk.row(
        "SELECT e.duplicate_of IS NULL AND e.delivery_id = (SELECT min(id::text)::uuid FROM deliveries)"
        " FROM documents d JOIN events e ON e.id = d.last_change_id"
    ) == (True,)


@pytest.mark.parametrize("state", ["announced", "failed", "expired", "fetching", "archived"])
def test_a_document_that_nothing_speaks_of_any_more_goes_unless_its_file_is_kept(
    desk: Desk, item: Any, state: str
) -> None:
    ids = [desk.lay(_item(item)) for _ in range(2)]
    desk.process()
    desk.database.execute("UPDATE documents SET state = %s", (state,))
    read_now = _item(item)
    read_now["docs"]["files"][0]["hash"] = "h2"
    left = []
    for delivery_id in ids:  # as if today's reader read the hash otherwise
        desk.rows("UPDATE deliveries SET body = %s WHERE id = %s RETURNING 1", orjson.dumps(read_now), delivery_id)
        desk.ask_again(delivery_id)
        desk.process()
        left.append(desk.row("SELECT array_agg(hash ORDER BY hash) FROM documents")[0])
    assert left == [["h1", "h2"], ["h1", "h2"] if state in {"fetching", "archived"} else ["h2"]]
    assert list(desk.row("SELECT documents FROM inquiries")[0]) == ["h2"]


def test_a_document_goes_with_the_inquiry_that_an_item_was_wrongly_read_for(desk: Desk, item: Any) -> None:
    delivery_id = desk.lay(_item(item))
    desk.process()
    moved = _item(item)
    moved["data"]["iId"] = 8
    desk.rows("UPDATE deliveries SET body = %s RETURNING 1", orjson.dumps(moved))
    desk.ask_again(delivery_id)
    desk.process()
    assert desk.rows("SELECT inquiry_id, hash FROM documents") == [(8, "h1")]


def test_a_document_is_what_is_read_of_it_today(desk: Desk, item: Any) -> None:
    """Also where an item that said more, or was newer, is read otherwise now; the secrets of the others stay."""
    second = _item(item, token="t2") | {"customer": {"cId": 5}}
    second["data"] |= {"bExternalId": "43", "iUpdated": "2026-01-03"}
    second["docs"]["files"][0] |= {"name": "Police", "documentPurpose": "y"}
    ids = [desk.lay(_item(item)), desk.lay(second)]
    desk.process()
    said = "SELECT name, purpose, broker_external_id, event_count, token_encrypted FROM documents"
    *told, token = desk.row(said)
    assert (told, desk.vault.decrypt(bytes(token), "document")) == (["Police", "y", "43", 2], "t2")

    def read(delivery_id: UUID, body: Any) -> tuple[Any, ...]:
        desk.rows("UPDATE deliveries SET body = %s WHERE id = %s RETURNING 1", orjson.dumps(body), delivery_id)
        desk.ask_again(delivery_id)
        desk.process()
        return desk.row(said)

    assert read(ids[0], item()) == ("Police", "y", "43", 1, token)
    read(ids[0], _item(item))
    del second["docs"]["files"][0]["documentPurpose"]
    assert read(ids[1], second)[:4] == ("Police", "x", "43", 2)
    second["data"]["iUpdated"] = "2026-01-01"
    assert read(ids[1], second)[:4] == ("Antrag", "x", "42", 2)
    second["customer"] = {"cId": 6}
    assert read(ids[1], second)[:4] == ("Antrag", "x", "42", 2)
    assert read(ids[0], _item(item) | {"customer": {"cId": 6}})[:4] == ("Antrag", "x", "42", 2)
