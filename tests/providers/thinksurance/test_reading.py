"""What an accepted item says beside its fields: its type, its times, what is masked."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from app.ingest.contract import Receipt, Statement
from app.providers import thinksurance

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

Warnings = Callable[[Statement], set[tuple[str, str]]]


def read(bench: "Bench", data: dict[str, Any], receipt: Receipt | None = None) -> Statement:
    source = bench.source()
    (item,) = thinksurance.find(json.dumps({"data": {"iId": 7} | data}).encode(), "", source, bench.now).items
    return thinksurance.read(item, source, receipt or bench.receipt)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (2, "tendering_lead"),
        (3, "tendering"),
        (4, "calculated"),
        (6, "ordered"),
        (15, "proposal_created"),
        ("6", "ordered"),
        (25, "status_25"),
        (0, "status_0"),
        (None, "status_unknown"),
        ("neu", "status_unknown"),
    ],
)
def test_the_type_is_named_after_the_status(status: Any, name: str, bench: "Bench") -> None:
    assert read(bench, {"status": status}).type == f"thinksurance.inquiry.{name}"


# The receipt is 2025-03-09 11:00 in Berlin.
@pytest.mark.parametrize(
    ("updated", "effective", "occurred_on", "occurred_at"),
    [
        ("2025-03-01", "2025-03-01", "2025-03-01", None),
        ("2025-03-09", "2025-03-09", "2025-03-09", None),
        ("2025-03-10", "2025-03-10", "2025-03-10", None),
        ("2025-03-11", "2025-03-09", "2025-03-11", None),
        ("2099-12-31", "2025-03-09", "2099-12-31", None),
        ("2025-03-09 23:30:00", "2025-03-09", "2025-03-09", datetime(2025, 3, 9, 22, 30, tzinfo=UTC)),
        ("2025-03-08T23:30:00+00:00", "2025-03-08", "2025-03-08", datetime(2025, 3, 8, 23, 30, tzinfo=UTC)),
        ("0000-00-00", "2025-03-09", None, None),
        ("", "2025-03-09", None, None),
        (None, "2025-03-09", None, None),
        ("gestern", "2025-03-09", None, None),
        (20250301, "2025-03-09", None, None),
    ],
)
def test_what_orders_is_the_day_of_the_update(
    updated: Any,
    effective: str,
    occurred_on: str | None,
    occurred_at: datetime | None,
    bench: "Bench",
    warned: Warnings,
) -> None:
    statement = read(bench, {"iUpdated": updated})
    assert statement.effective_at == datetime.fromisoformat(effective + "T00:00:00+00:00")
    assert statement.occurred_on == (None if occurred_on is None else date.fromisoformat(occurred_on))
    assert statement.occurred_at == occurred_at
    ahead = occurred_on is not None and occurred_on > "2025-03-10"
    assert (("data.iUpdated", "date-in-future") in warned(statement)) == ahead


def test_the_day_of_receipt_is_that_of_the_zone(bench: "Bench") -> None:
    late = datetime(2025, 3, 9, 23, 30, tzinfo=UTC)  # the 10th in Berlin, the 9th in New York
    for zone, day in (("Europe/Berlin", 10), ("America/New_York", 9)):
        receipt = Receipt(bench.receipt.delivery_id, late, ZoneInfo(zone), b"")
        assert read(bench, {}, receipt).effective_at == datetime(2025, 3, day, tzinfo=UTC)
        assert read(bench, {"iUpdated": f"2025-03-{day + 1}"}, receipt).effective_at.day == day + 1
        assert read(bench, {"iUpdated": f"2025-03-{day + 2}"}, receipt).effective_at.day == day


def test_the_key_of_a_dictionary_that_differs_is_told(bench: "Bench", warned: Warnings) -> None:
    def told(key: str, inner: Any) -> set[tuple[str, str]]:
        return warned(bench.read("thinksurance", json.dumps({key: {"data": {"iId": inner}}}).encode())[0])

    assert told("8", 7) == {("data.iId", "differs-from-key")}
    assert told("x", 7) == {("data.iId", "differs-from-key")}
    assert told("7", "7") == {("data.iId", "text-for-number")}
    assert told("007", 7) == set()
    assert told("7", None) == set()


def test_an_item_named_by_its_key_is_read_by_it(bench: "Bench") -> None:
    statement = bench.read("thinksurance", b'{"0008": {"data": {"status": 4}}}')[0]
    assert statement.subject == "inquiry/8"
    assert statement.parts[0].fields == {"inquiry_id": 8, "status": 4}


def test_signature_and_tokens_are_masked_and_nothing_else(bench: "Bench") -> None:
    sent = json.loads(bench.sample("thinksurance", "item-ordered.json"))
    (statement,) = bench.read("thinksurance", json.dumps(sent).encode())
    sent["sHash"] = sent["data"]["bToken"] = "***"
    sent["docs"]["docToken"]["token"] = sent["docs"]["files"][0]["fullFilePath"] = "***"
    assert statement.data == sent


def test_credentials_are_masked_whatever_their_type_and_place(bench: "Bench") -> None:
    inner = {
        "bToken": ["geheim"],
        "url": {"x": "geheim"},
        "deep": [{"SHASH": "geheim", "token": 5, "docToken": "geheim"}],
    }
    statement = read(bench, inner)
    assert "geheim" not in json.dumps(statement.data)
    assert statement.data["data"]["deep"] == [{"SHASH": "***", "token": "***", "docToken": "***"}]


@pytest.mark.parametrize("name", ["sHash", "bToken", "aToken", "docToken", "fullFilePath", "token", "url", "btoken"])
def test_each_credential_is_masked_by_name(name: str, bench: "Bench") -> None:
    for given in ("geheim", ["geheim"], 5):
        assert read(bench, {"x": {name: given}}).data["data"]["x"] == {name: "***"}


def test_what_was_sent_is_not_changed_by_masking(bench: "Bench") -> None:
    token = "cbt_" + "A" * 43
    body = json.dumps({"sHash": "x", "data": {"iId": 7, "a": {"deep": [{"bToken": "t"}, token, {token: 1}], "b": [1]}}})
    source = bench.source()
    (item,) = thinksurance.find(body.encode(), "application/json", source, bench.now).items
    statement = thinksurance.read(item, source, bench.receipt)
    assert item.value == json.loads(body)
    masked = "cbt_" + "*" * 43
    assert statement.data["data"]["a"] == {"deep": [{"bToken": "***"}, masked, {masked: 1}], "b": [1]}


@pytest.mark.parametrize("signature", [None, "", 5, ["x"]])
def test_without_a_signature_there_is_no_digest_to_compare(signature: Any, bench: "Bench") -> None:
    (statement,) = bench.read("thinksurance", json.dumps({"sHash": signature, "data": {"iId": 7}}).encode())
    assert statement.signature_digest is None


def test_warnings_are_bounded_and_name_no_token(bench: "Bench", warned: Warnings) -> None:
    token = "cbt_" + "A" * 43
    assert warned(read(bench, {token: 1})) == {("data.cbt_" + "*" * 43, "unknown-field")}
    many = {"docs": {"files": [{"name": "without a hash"}] * 500}}
    (statement,) = bench.read("thinksurance", json.dumps({"data": {"iId": 7}, **many}).encode())
    assert len(statement.warnings) == 200


def test_an_unknown_credential_stays_unknown(bench: "Bench") -> None:
    statement = read(bench, {"bToken": None, "url": ""})
    assert statement.data["data"] == {"iId": 7, "bToken": None, "url": ""}


def test_the_broker_is_named_and_its_token_only_by_digest(bench: "Bench") -> None:
    statement = read(bench, {"bToken": " 7c21 ", "bExternalId": 42})
    assert statement.broker == "42"
    assert statement.broker_token_digest == hashlib.sha256(b"7c21").digest()
    assert "7c21" not in repr(statement)
    without = read(bench, {"bToken": ""})
    assert (without.broker, without.broker_token_digest) == (None, None)


def test_the_ordered_sample(bench: "Bench", warned: Warnings) -> None:
    (statement,) = bench.read("thinksurance", bench.sample("thinksurance", "item-ordered.json"))
    assert [(part.kind, part.keys) for part in statement.parts] == [
        ("inquiry", ("2900418",)),
        ("customer", ("c:511210", "x:42\x1fK-1002", "i:2900418")),
        ("document", ("2900418\x1fa90c17ff02",)),
    ]
    fields = statement.parts[0].fields
    assert fields["premium_yearly_cents"] == 48_790  # 487.90 EUR
    assert fields["revenue_cents"] == 35_000_000  # 350,000 EUR
    assert (fields["coverage_text"], "coverage_cents" in fields) == ("unbegrenzt", False)
    assert fields["customer_key"] == "c:511210"
    assert not warned(statement)
    assert statement.repeat_key is None


def test_the_sample_as_php_writes_it(bench: "Bench", warned: Warnings) -> None:
    (statement,) = bench.read("thinksurance", bench.sample("thinksurance", "php-strings.json"))
    assert statement.type == "thinksurance.inquiry.proposal_created"
    assert statement.occurred_at == datetime(2025, 3, 9, 22, 30, tzinfo=UTC)
    (inquiry,) = statement.parts
    assert inquiry.fields == {
        "inquiry_id": 2900419,
        "status": 15,
        "product_id": 88,
        "product_name": "Betriebshaftpflicht",
        "broker_external_id": "42",
        "insurer_external_id": "AZ-9",
        "agency_number_external_id": "U-77",
        "premium_yearly_cents": 48_790,
        "coverage_cents": 500_000_000,
        "deductible_cents": 100_000,
        "revenue_cents": 123_456_789,
        "tax_percent": "19",
        "contract_years": 1,
        "payment_interval_months": 12,
        "digital_order_available": True,
        "digital_order_success": False,
        "created_on": "2025-03-02",
        "updated_on": "2025-03-09",
    }
    in_text = "iId status productId premiumYearly coverage deductible taxPercent contractDuration paymentInterval"
    formatted = "coverage deductible revenue taxPercent"
    assert warned(statement) == {
        ("data.industryId", "out-of-range"),
        ("data.agencyNumber", "unknown-field"),
        *((f"data.{name}", "text-for-number") for name in in_text.split()),
        *((f"data.{name}", "formatted-number") for name in formatted.split()),
    }


def test_wrong_types_of_the_objects_are_told(bench: "Bench", warned: Warnings) -> None:
    (statement,) = bench.read("thinksurance", b'{"data": {"iId": 7}, "customer": "x", "docs": 5}')
    assert warned(statement) == {("customer", "wrong-type"), ("docs", "wrong-type")}
    assert [part.kind for part in statement.parts] == ["inquiry"]


def test_notes_of_the_slower_reader_are_warnings(bench: "Bench", warned: Warnings) -> None:
    (statement,) = bench.read("thinksurance", b'[{"data": {"iId": 7, "productName": "M\xfcller\\u0000"}}]')
    assert warned(statement) == {("", "latin-1"), ("data.productName", "nul-character")}
    assert statement.parts[0].fields["product_name"] == "Müller\ufffd"
