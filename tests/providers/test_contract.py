"""What every platform that calls back must do, whatever comes; a new platform is tested here before its own tests."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.ingest.contract import Item, Mode, Provider, Reason, Statement, Verdict
from app.providers import PROVIDERS

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

TOKEN = "cbt_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdE"
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")

# The names that the platforms use, so that the search soon reaches the readers of single fields.
NAMES = st.sampled_from(
    [
        "sHash",
        "data",
        "customer",
        "docs",
        "bToken",
        "bExternalId",
        "iId",
        "iUpdated",
        "iCreated",
        "status",
        "employees",
        "full",
        "coverage",
        "premiumYearly",
        "revenue",
        "taxPercent",
        "externalReferences",
        "iExternalReferences",
        "origin",
        "paramKey",
        "paramValue",
        "docToken",
        "token",
        "expired",
        "files",
        "hash",
        "fullFilePath",
        "cId",
        "cExternalId",
        "cSalutation",
        "cStreet",
        "cBirthDate",
        "error",
        "eventType",
        "eventTime",
        "notificationId",
        "affected",
        "referenceType",
        "referenceId",
        "brokerReference",
        "event",
        "type",
        "payload",
        "lead",
        "prospect",
        "id",
        "lead_id",
        "party_id",
        "name",
        "first_name",
        "callbacks",
        "external_ref",
        "external_refs",
        "external_ref_company",
        "company",
        "ref",
        "risk_objects",
        "cars",
        "vin",
        "address",
        "zipcode",
        "policy_packages",
        "premium",
        "payment_interval",
        "insurance_policies",
        "coverages",
        "external_label",
        "insured_value",
        "updated_at",
        "timestamp",
        "distribution_id",
        "birth",
        "2900417",
        "0",
        "1",
    ]
)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "2900417",
        "abc",
        "2025-03-09",
        "2025-03-09 10:00:00",
        "2099-01-01",
        "0000-00-00",
        "1.234,56",
        TOKEN,
        "inquiry",
        "x" * 1001,
        "ü",
        "lead.updated",
        "ANNUAL",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TEXTS
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=8),
    max_leaves=40,
)

each_platform = pytest.mark.parametrize("platform", PROVIDERS.values(), ids=PROVIDERS.keys())
each_mode = pytest.mark.parametrize("mode", Mode)
quickly = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a value, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for child in value:
            yield from strings(child)
    elif isinstance(value, dict):
        for name, child in value.items():
            yield name
            yield from strings(child)


def shown(item: Item, statement: Statement | None) -> Iterator[str]:
    """Yield every string that may be stored unencrypted or shown."""
    yield from strings([item.key, item.subject, item.broker, [(note.field, note.reason) for note in item.notes]])
    if statement is not None:
        yield from strings([statement.type, statement.subject, statement.broker, statement.repeat_key])
        yield from strings([(warning.field, warning.reason) for warning in statement.warnings])
        yield from strings(statement.data)
        for part in statement.parts:
            yield from strings([part.kind, part.keys, dict(part.fields)])


def check(platform: Provider, body: bytes, content_type: str, bench: "Bench", mode: Mode = Mode.OBSERVE) -> None:
    """Check all that holds for every body."""
    source = bench.source(platform.name, mode)
    found = platform.find(body, content_type, source, bench.now)
    assert bool(found.items) != (found.reason is not None), "items, or a reason why there are none"
    assert [item.index for item in found.items] == list(range(len(found.items)))
    for item in found.items:
        assert (item.verdict is Verdict.UNCHECKED) == (mode is Mode.OFF)
        assert item.reason is not None or item.subject is not None or platform.name == "wegroup"
        check_statement(platform, item, bench)
    assert platform.find(body, content_type, source, bench.now) == found, "the same body, the same findings"


def check_statement(platform: Provider, item: Item, bench: "Bench") -> None:
    """Check all that holds for what any item says, accepted or (after `reverify`) released."""
    source = bench.source(platform.name)
    statement = platform.read(item, source, bench.receipt)
    assert platform.read(item, source, bench.receipt) == statement
    assert statement.subject == item.subject or item.subject is None
    assert statement.broker == item.broker, "the wall of a broker is the same for delivery and event"
    assert re.fullmatch(rf"{platform.name}\.[a-z]+\.[a-z0-9_]+", statement.type)
    assert statement.effective_at.utcoffset() == timedelta(0)
    assert statement.effective_at <= bench.now + timedelta(days=1, hours=12)
    assert not any(TOKEN in text for text in shown(item, statement))
    orjson.dumps(statement.data)
    for text in shown(item, statement):
        assert "\x00" not in text
        text.encode()
    for key in (statement.subject, *(key for part in statement.parts for key in part.keys)):
        assert 0 < len(key.encode()) <= 600, "fits an index"
    for part in statement.parts:
        orjson.dumps(dict(part.fields))
        assert part.keys
        assert not any(value is None or value in ({}, []) for value in part.fields.values()), "unknown sets nothing"
        for name, value in part.fields.items():
            if name.endswith("_at"):
                assert INSTANT.fullmatch(value)
            if name.endswith("_cents"):
                assert isinstance(value, int)


@each_platform
@each_mode
@quickly
@given(value=JSON_VALUES)
def test_any_json_is_found_and_read_without_an_exception(
    platform: Provider, mode: Mode, bench: "Bench", value: Any
) -> None:
    check(platform, json.dumps(value).encode(), "application/json", bench, mode)


@each_platform
@quickly
@given(body=st.binary(max_size=300), content_type=st.sampled_from(["", "application/x-www-form-urlencoded"]))
def test_any_bytes_are_found_and_read_without_an_exception(
    platform: Provider, bench: "Bench", body: bytes, content_type: str
) -> None:
    check(platform, body, content_type, bench)


@each_platform
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_samples_are_found_and_read_without_an_exception(
    platform: Provider, bench: "Bench", data: st.DataObject
) -> None:
    """Cut, doubled and overwritten samples of the platform and of all others."""
    every = [sample for name in PROVIDERS for sample in bench.samples(name).values() if sample]
    sample = bytearray(data.draw(st.sampled_from(every)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(sample)))
        sample[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check(platform, bytes(sample), "application/json", bench)


@each_platform
@pytest.mark.parametrize("name", PROVIDERS)
def test_every_sample_of_every_platform_keeps_the_contract(platform: Provider, name: str, bench: "Bench") -> None:
    for sample in bench.samples(name).values():
        for mode in Mode:
            check(platform, sample, "application/json", bench, mode)


@each_platform
def test_samples_exist_and_some_are_accepted(platform: Provider, bench: "Bench") -> None:
    assert any(bench.read(platform.name, sample) for sample in bench.samples(platform.name).values())


@each_platform
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.NOTHING_IN_IT),
        (b" \r\n\x00", Reason.NOTHING_IN_IT),
        (b"{}", Reason.NOTHING_IN_IT),
        (b"[]", Reason.NOTHING_IN_IT),
        (b"null", Reason.NOTHING_IN_IT),
        (b"<html></html>", Reason.NOT_JSON),
        (b'{"open": ', Reason.NOT_JSON),
        (b'{"a": 1,}', Reason.NOT_JSON),
        (b"\xff\xfe\xfd", Reason.NOT_JSON),
        (b"[" * 100_000, Reason.NOT_JSON),
        (b"5", Reason.UNKNOWN_SHAPE),
        (b'"text"', Reason.UNKNOWN_SHAPE),
        (b'{"hello": "world"}', Reason.UNKNOWN_SHAPE),
        (b'[1, "a", null, [2]]', Reason.UNKNOWN_SHAPE),
        (b"[" * 1000 + b"]" * 1000, Reason.UNKNOWN_SHAPE),
        (b'{"hello": [' + b"1," * 1000 + b"1]}", Reason.UNKNOWN_SHAPE),
    ],
)
def test_what_is_not_understood_is_said_to_be(platform: Provider, body: bytes, reason: Reason, bench: "Bench") -> None:
    found = platform.find(body, "application/json", bench.source(platform.name), bench.now)
    assert (found.reason, list(found.items)) == (reason, [])


@each_platform
def test_a_callback_token_is_masked_wherever_it_stands(platform: Provider, bench: "Bench") -> None:
    """In each string and each name of each sample, plain and with escaped slashes."""
    url = f"https:\\/\\/hooks.example.test\\/callbacks\\/{platform.name}\\/{TOKEN}"
    for name, sample in bench.samples(platform.name).items():
        if not bench.read(platform.name, sample) or not name.endswith(".json"):
            continue
        for place in re.finditer(rb'(?<=")[A-Za-z0-9][^"\\]*(?=")', sample):
            for put in (url.encode(), place[0] + TOKEN.encode()):
                changed = sample[: place.start()] + put + sample[place.end() :]
                check(platform, changed, "application/json", bench)


@each_platform
def test_a_date_far_ahead_does_not_freeze_the_record(platform: Provider, bench: "Bench") -> None:
    bodies = {
        "thinksurance": b'{"data": {"iId": 7, "iUpdated": "2099-01-01"}}',
        "wegroup": b'{"id": "7", "updated_at": "2099-01-01T00:00:00Z"}',
    }
    statement = bench.read(platform.name, bodies[platform.name])[0]
    assert statement.effective_at <= bench.now
    assert "date-in-future" in {warning.reason for warning in statement.warnings}


@each_platform
def test_platforms_bear_the_name_they_are_found_by(platform: Provider) -> None:
    assert PROVIDERS[platform.name] is platform


@each_platform
@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_any_time_of_receipt_will_do_to_find(platform: Provider, at: datetime, bench: "Bench") -> None:
    for sample in bench.samples(platform.name).values():
        platform.find(sample, "", bench.source(platform.name, Mode.ENFORCE), at)
