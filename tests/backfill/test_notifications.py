"""Thin notifications: what they refer to is pulled, their links are followed where that is allowed and nowhere else."""

import asyncio
from typing import Any

import pytest

from app.backfill import PULL
from app.providers.links import LinkRefusedError
from app.providers.thinksurance.calls.v2 import v2_for
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import ORDERED, Inquiry


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
