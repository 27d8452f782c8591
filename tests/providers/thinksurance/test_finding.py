"""The forms in which Thinksurance sends, and what is found in each."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Findings, Reason, Warned
from app.providers import thinksurance

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

TOKEN = "cbt_" + "a" * 43


def find(bench: "Bench", body: bytes | dict[str, Any] | list[Any], content_type: str = "") -> Findings:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return thinksurance.find(sent, content_type, bench.source(), bench.now)


ITEM, ORDERED = "inquiry/2900417", "inquiry/2900418"
SAMPLES = {
    "item.json": [ITEM],
    "item-ordered.json": [ORDERED],
    "dictionary.json": [ITEM, ORDERED],
    "array.json": [ITEM, ORDERED],
    "docs-array.json": [ORDERED],
    "docs-empty-array.json": [ORDERED],
    "docs-files-by-number.json": [ORDERED],
    "docs-null.json": [ORDERED],
    "docs-token-text.json": [ORDERED],
    "docs-without-hash.json": [ORDERED],
    "php-strings.json": ["inquiry/2900419"],
    "latin-1.json": ["inquiry/2900420"],
    "utf-16.json": ["inquiry/2900421"],
    "form-json-field.txt": ["inquiry/2900422"],
    "form-brackets.txt": ["inquiry/2900423"],
    "notification-new.json": [ORDERED],
    "notification-old.json": ["tender/T-111"],
    "notification-array.json": [ORDERED, "tender/T-111"],
    "notification-bare.json": [Reason.UNUSABLE_ID],
    "unusable-id.json": [Reason.UNUSABLE_ID],
    "empty-object.json": Reason.NOTHING_IN_IT,
    "empty-array.json": Reason.NOTHING_IN_IT,
    "empty-body.json": Reason.NOTHING_IN_IT,
    "error.json": Reason.PLATFORM_ERROR,
    "agency-success.json": Reason.UNKNOWN_SHAPE,
    "not-json.txt": Reason.NOT_JSON,
}


@pytest.mark.parametrize(("name", "expected"), SAMPLES.items())
def test_samples(name: str, expected: Any, bench: "Bench") -> None:
    found = find(bench, bench.sample("thinksurance", name))
    assert (found.reason or [item.reason or item.subject for item in found.items]) == expected
    assert found.notification == name.startswith("notification")


def test_every_sample_is_expected(bench: "Bench") -> None:
    assert set(SAMPLES) == set(bench.samples("thinksurance"))


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/html; charset=latin1", "multipart/form-data", "x"]
)
def test_the_content_type_is_no_hindrance(content_type: str, bench: "Bench") -> None:
    assert find(bench, bench.sample("thinksurance", "item.json"), content_type).items[0].subject == ITEM


@pytest.mark.parametrize(
    ("inner", "key", "subject"),
    [
        ({"iId": 7}, "8", "inquiry/7"),
        ({"iId": "007"}, "8", "inquiry/7"),
        ({"iId": 7.0}, "8", "inquiry/7"),
        ({"iId": (1 << 63) - 1}, "8", f"inquiry/{(1 << 63) - 1}"),
        ({}, "8", "inquiry/8"),
        ({"iId": None}, "8", "inquiry/8"),
        ({"iId": ""}, "0008", "inquiry/8"),
        ({}, "x", None),
        ({"iId": "x"}, "8", None),
        ({"iId": 0}, "8", None),
        ({"iId": -7}, "8", None),
        ({"iId": 1 << 63}, "8", None),
        ({"iId": 1.5}, "8", None),
        ({"iId": True}, "8", None),
        ({"iId": [7]}, "8", None),
    ],
)
def test_the_inner_id_counts_and_the_key_only_without_it(
    inner: dict[str, Any], key: str, subject: str | None, bench: "Bench"
) -> None:
    (item,) = find(bench, {key: {"data": inner, "sHash": "x"}}).items
    assert (item.subject, item.key) == (subject, key)
    assert item.reason is (None if subject else Reason.UNUSABLE_ID)


def test_an_item_alone_or_in_a_list_has_no_key(bench: "Bench") -> None:
    for body in ({"data": {"iId": 7}}, [{"data": {"iId": 7}}]):
        assert find(bench, body).items[0].key is None


@pytest.mark.parametrize("data", [None, [], "x", 5, {}])
def test_a_signed_item_without_usable_data_is_unusable(data: Any, bench: "Bench") -> None:
    assert [item.reason for item in find(bench, {"sHash": "x", "data": data}).items] == [Reason.UNUSABLE_ID]


def test_one_strange_member_never_holds_up_the_others(bench: "Bench") -> None:
    good = {"data": {"iId": 7}}
    found = find(bench, {"a": 5, "7": good, "b": {"x": 1}, "c": None})
    assert [item.reason for item in found.items] == [
        Reason.UNKNOWN_SHAPE,
        None,
        Reason.UNKNOWN_SHAPE,
        Reason.UNKNOWN_SHAPE,
    ]
    assert [item.key for item in found.items] == ["a", "7", "b", "c"]
    assert [item.index for item in found.items] == [0, 1, 2, 3]
    mixed = find(bench, [good, {"eventType": "InquiryCreated", "notificationId": "n"}, 5])
    assert [item.subject for item in mixed.items] == ["inquiry/7", "notification/n", None]
    assert not mixed.notification


def test_an_error_beside_items_is_no_error(bench: "Bench") -> None:
    assert find(bench, {"error": None, "7": {"data": {"iId": 7}}}).items[1].subject == "inquiry/7"
    assert find(bench, {"error": {"code": 5}}).reason is Reason.PLATFORM_ERROR
    assert find(bench, {"error": "x", "data": {"iId": 7}}).items[0].subject == "inquiry/7"


@pytest.mark.parametrize(
    ("given", "broker"), [("42", "42"), (42, "42"), (" 42 ", "42"), ("", None), (None, None), ([], None), (True, None)]
)
def test_the_broker_is_named(given: Any, broker: str | None, bench: "Bench") -> None:
    assert find(bench, {"data": {"iId": 7, "bExternalId": given}}).items[0].broker == broker
    notification = {"eventType": "x", "notificationId": "n", "brokerReference": given}
    assert find(bench, notification).items[0].broker == broker


def test_notes_stand_at_the_item_they_are_about(bench: "Bench") -> None:
    body = (
        b'{"7": {"data": {"iId": 7, "revenue": NaN}}, "8": {"data": {"iId": 8}}, "9": {"data": {"iId": 9, "x": 1e999}}}'
    )
    assert [item.notes for item in find(bench, body).items] == [
        (Warned("data.revenue", "number-as-text"),),
        (),
        (Warned("data.x", "number-as-text"),),
    ]
    latin = b'[{"data": {"iId": 7, "x": "\xfc"}}, {"data": {"iId": 8}}]'
    assert [item.notes for item in find(bench, latin).items] == [(Warned("", "latin-1"),)] * 2


def test_a_key_that_holds_a_token_or_is_long_is_kept_short_and_masked(bench: "Bench") -> None:
    found = find(bench, {TOKEN: {"data": {"iId": 7}}, "x" * 5000: {"data": {"iId": 8}}})
    assert [item.key for item in found.items] == ["cbt_" + "*" * 43, "x" * 200]


def test_wrong_types_of_a_notification_are_survived(bench: "Bench") -> None:
    for affected in (None, "x", 5, {}, [None, 5, {}, {"referenceType": "inquiry"}], {"referenceType": "inquiry"}):
        found = find(bench, {"eventType": "x", "notificationId": "n", "affected": affected})
        assert found.items[0].subject == "notification/n"
