"""The links of thin notifications: followed where that is allowed and nowhere else, and what they bring is kept."""

import asyncio

import pytest
from starlette.responses import HTMLResponse, Response
from structlog.testing import capture_logs

from app.backfill import PULL
from app.backfill.references import MOST_LINKS
from app.providers.calling import NotJsonAnswerError, RefusedError, ServerFailedError
from app.providers.links import LinkRefusedError
from app.providers.thinksurance.calls.v2 import v2_for
from tests.backfill.conftest import Stand, notification
from tests.doubles.thinksurance_world import ORDERED


def _bodies_of_references(stand: Stand) -> list[str]:
    kept = stand.rows(
        "SELECT convert_from(body, 'UTF8') FROM deliveries WHERE headers LIKE %s ORDER BY id", b"%reference%"
    )
    return [body for (body,) in kept]


def test_other_references_are_kept_as_they_came_and_never_in_quarantine(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.double.older.references["contracts/3f1d"] = {"contract": {"number": "V-1"}}
    link = f"{stand.url}/api/public/v2/contracts/3f1d"
    stand.push(notification(inquiry, ("contract", "3f1d", link)))
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
        stand.push(notification(stand.new_inquiry(), link))
        stand.do(PULL)
    assert stand.double.older.asked == ["contracts/3f1d"] * 2
    assert stand.rows("SELECT count(*) FROM deliveries WHERE headers LIKE %s", b"%reference%") == [(1,)]


@pytest.mark.parametrize(
    ("announced", "came", "content_type"),
    [
        ("application/xml", b'<?xml version="1.0"?><contract number="V-1"/>', "application/xml"),
        ("application/pdf", b"%PDF-1.7", "application/pdf"),
        ("plain/html", b"<!doctype html><html><body>V-1</body></html>", "text/html"),
    ],
)
def test_what_is_no_json_is_kept_as_well(stand: Stand, announced: str, came: bytes, content_type: str) -> None:
    stand.add_source()
    stand.double.older.references["1"] = Response(came, media_type=content_type)
    told = notification(stand.new_inquiry(), ("contract", "1", f"{stand.url}/api/public/v2/1"))
    told["affected"][1]["links"][0]["contentType"] = announced
    stand.push(told)
    stand.do(PULL)
    assert _bodies_of_references(stand) == [came.decode()]


@pytest.mark.parametrize("kind", ["contract", "contract/x", "c" * 80])
def test_what_a_link_brings_has_the_subject_of_its_notification(stand: Stand, kind: str) -> None:
    stand.add_source()
    stand.double.older.references["1"] = {"number": "V-1"}
    told = notification(stand.new_inquiry(), (kind, "1", f"{stand.url}/api/public/v2/1"))
    del told["affected"][0]
    stand.push(told)
    stand.do(PULL)
    assert stand.rows("SELECT subject FROM pulled WHERE subject <> ''") == stand.rows("SELECT subject FROM events")


def test_a_page_that_was_not_announced_is_a_proxys_and_asked_for_again(stand: Stand) -> None:
    stand.add_source()
    stand.double.older.references["1"] = HTMLResponse("<html><body>Please log in.</body></html>")
    stand.push(notification(stand.new_inquiry(), ("contract", "1", f"{stand.url}/api/public/v2/1")))
    with pytest.raises(NotJsonAnswerError):
        stand.do(PULL)
    stand.double.older.references["1"] = {"number": "V-1"}
    stand.do(PULL)
    assert _bodies_of_references(stand) == ['{"number":"V-1"}']


def test_the_log_of_a_link_that_is_refused_names_nothing_that_was_sent(stand: Stand) -> None:
    stand.add_source()
    link = ("Herr Quastenflosser", "zephyrine@quastenflosser.test", "https://quastenflosser.test/1?token=2")
    stand.push(notification(stand.new_inquiry(), link))
    with capture_logs() as logs:
        stand.do(PULL)
    assert [line["source"] for line in logs if line["event"] == "reference.refused"] == ["acme"]
    assert "quastenflosser" not in str(logs).lower()


def test_a_link_that_fails_keeps_none_behind_it_waiting(stand: Stand) -> None:
    stand.add_source()
    page = "<html><body>Oh no.</body></html>"
    stand.double.older.references |= {"1": HTMLResponse(page, 502), "2": HTMLResponse(page, 404), "3": {"number": 3}}
    links = [("contract", name, f"{stand.url}/api/public/v2/{name}") for name in ("1", "2", "3")]
    stand.push(notification(stand.new_inquiry(), *links))
    with pytest.raises(ServerFailedError):
        stand.do(PULL)
    assert _bodies_of_references(stand) == ['{"number":3}']
    stand.double.older.references["1"] = {"number": 1}
    assert (stand.do(PULL), stand.do(PULL)) == (1, 0)
    assert _bodies_of_references(stand) == ['{"number":3}', '{"number":1}']


def test_an_inquiry_that_is_refused_keeps_no_link_waiting_and_is_asked_for_alone_then(stand: Stand) -> None:
    stand.add_source()
    stand.double.older.references["1"] = {"number": "V-1"}
    inquiry = stand.new_inquiry()
    del stand.double.world.inquiries[inquiry.id]
    stand.push(notification(inquiry, ("contract", "1", f"{stand.url}/api/public/v2/1")))
    for _ in range(2):
        with pytest.raises(RefusedError):
            stand.do(PULL)
    assert stand.double.older.asked == ["1"]
    stand.double.world.inquiries[inquiry.id] = inquiry
    assert stand.do(PULL) == 1
    assert (stand.status(inquiry), stand.double.older.asked) == (ORDERED, ["1"])


def test_of_several_notifications_before_the_pull_all_links_are_followed(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    names = ["1", "2"]
    stand.double.older.references |= {name: {"number": name} for name in names}
    for name in names:
        link = ("contract", name, f"{stand.url}/api/public/v2/{name}")
        stand.push(notification(inquiry, link) | {"notificationId": name})
    assert stand.do(PULL) == 1
    assert sorted(stand.double.older.asked) == names


def test_the_login_is_tried_at_the_other_path_where_a_page_says_that_the_first_is_not_there(stand: Stand) -> None:
    stand.add_source()
    stand.double.older.login_path = "/tokens"
    stand.double.older.references["1"] = {"number": "V-1"}
    stand.push(notification(stand.new_inquiry(), ("contract", "1", f"{stand.url}/api/public/v2/1")))
    assert stand.do(PULL) == 1
    assert _bodies_of_references(stand) == ['{"number":"V-1"}']


def test_a_notification_of_very_many_links_has_some_followed(stand: Stand) -> None:
    stand.add_source()
    links = [("contract", f"{number}", f"{stand.url}/api/public/v2/{number}") for number in range(MOST_LINKS + 5)]
    stand.push(notification(stand.new_inquiry(), *links))
    stand.do(PULL)
    assert stand.double.older.asked == [name for _, name, _ in links[:MOST_LINKS]]


def test_what_a_link_does_not_bring_is_left_out_and_the_rest_done(stand: Stand) -> None:
    stand.add_source()
    inquiry = stand.new_inquiry()
    stand.double.older.references |= {"moved": "http://127.0.0.1:1/secret", "customers/1": {"id": 1}}
    stand.push(
        notification(
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
    stand.push(notification(stand.new_inquiry(), *links))
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
